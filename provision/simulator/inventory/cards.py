"""The physical cards of a host: what they are set to, and which VM holds what of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.gpu import profiles
from provision.gpu.capacity import CardLoad
from provision.gpu.catalogue import CardModel, Profile, catalogue
from provision.gpu.types import CardMode, VgpuMode

if TYPE_CHECKING:
    from provision.simulator.inventory.vm import VirtualMachine

SHARED_DIRECT = "sharedDirect"
# PCI class 0x03: display controller; 0x0302 is a 3D controller, what data-centre cards are.
CLASS_3D = 0x0302
# Where the virtual functions of an A100 begin, as `lspci` shows them (0000:3b:00.4 and on).
FIRST_VF_OFFSET = 4
FULL_PROFILES_PER_GROUP = (2, 4, 8)


@cache
def _family(key: str, board: str | None, *, mig: bool) -> tuple[Profile, ...]:
    """Return the profiles of a board form; without one, of the model's first.

    A model of the catalogue may have several forms (PCIe, SXM), each with profiles of its own.
    """
    model = catalogue().model(key)
    if model is None or not model.profiles:
        return ()
    family = board or model.boards[0]
    return tuple(
        profile
        for profile in model.profiles
        if profile.mig is mig and (name := profiles.parse(profile.name)) and name.gpu == family
    )


def signed(number: int) -> int:
    """Return an unsigned 16-bit number as vSphere's `HostPciDevice` has it."""
    return number - 0x10000 if number & 0x8000 else number


@dataclass(slots=True, eq=False)
class Hold:
    """What one device of one VM holds of a card; `profile` is None for the whole card."""

    vm: VirtualMachine
    key: int
    profile: str | None


@dataclass(slots=True, eq=False)
class Card:
    """One GPU (PCI function) of a host.

    `enabled` is the passthrough setting, `active` the one since the last reboot. `graphics`
    and `vgpu_mode` are active, `next_graphics` and `next_vgpu_mode` are what the next reboot
    brings. `device` and `board` tell the form of a model that has several.
    `managed` is whether NVIDIA's vGPU manager runs on the host; `virtual_functions` is how many
    functions the card has for SR-IOV while it is shared.
    """

    address: str
    model: CardModel
    numa: int
    enabled: bool = False
    active: bool = False
    graphics: str = SHARED_DIRECT
    next_graphics: str = SHARED_DIRECT
    vgpu_mode: VgpuMode = VgpuMode.SAME_SIZE
    next_vgpu_mode: VgpuMode = VgpuMode.SAME_SIZE
    label: str | None = None
    device: int | None = None
    board: str | None = None
    managed: bool = True
    virtual_functions: int = 0
    holds: list[Hold] = field(default_factory=list)

    @classmethod
    def create(
        cls,
        address: str,
        model: CardModel,
        *,
        mode: CardMode,
        vgpu_mode: VgpuMode,
        numa: int | None,
        active: bool,
        default_graphics: str,
        label: str | None,
    ) -> Card:
        """Return a card as a world file describes it."""
        passthrough = mode is CardMode.PASSTHROUGH
        shared = default_graphics if mode is CardMode.SHARED else "shared"
        return cls(
            address=address,
            model=model,
            # Buses from 0x80 up belong to the second socket on the usual servers.
            numa=numa if numa is not None else int(address[5:7], 16) // 0x80,
            enabled=passthrough,
            active=passthrough and active,
            graphics=shared,
            next_graphics=default_graphics if passthrough else shared,
            vgpu_mode=vgpu_mode,
            next_vgpu_mode=vgpu_mode,
            label=label,
        )

    @property
    def shareable(self) -> bool:
        """Whether vGPUs can be had from the card now."""
        can_be = self.model.vgpu and self.managed
        return can_be and not self.active and self.graphics == SHARED_DIRECT

    @property
    def passable(self) -> bool:
        """Whether the card can be passed through now."""
        return self.enabled and self.active

    @property
    def whole_owner(self) -> VirtualMachine | None:
        """The VM that holds the whole card by passthrough."""
        return next((hold.vm for hold in self.holds if hold.profile is None), None)

    @property
    def device_id(self) -> int:
        """The PCI device id, unsigned."""
        return self.device or self.model.device_ids[0]

    @property
    def load(self) -> CardLoad:
        """What the card holds, as the GPU domain reckons with it."""
        held = tuple(hold.profile for hold in self.holds if hold.profile is not None)
        memory = self.model.framebuffer_gib * 1024
        return CardLoad(self.address, memory, self.vgpu_mode, held)

    @property
    def offers(self) -> tuple[Profile, ...]:
        """The profiles that the card can be divided into in its present mode."""
        if not self.shareable:
            return ()
        return _family(self.model.key, self.board, mig=self.vgpu_mode is VgpuMode.MIG)

    def reboot(self) -> None:
        """Make active what was only set."""
        self.active = self.enabled
        self.graphics = self.next_graphics
        self.vgpu_mode = self.next_vgpu_mode

    @property
    def reboot_pending(self) -> bool:
        """Whether a setting waits for the next reboot."""
        return (self.active, self.graphics, self.vgpu_mode) != (
            self.enabled,
            self.next_graphics if not self.enabled else self.graphics,
            self.next_vgpu_mode,
        )

    def describe(self) -> str:
        """Say in a few words what the card holds, for a fault's message."""
        if not self.holds:
            return f"{self.address} is empty"
        names = ", ".join(f"{hold.profile or 'all of it'} by {hold.vm.name}" for hold in self.holds)
        return f"{self.address} ({self.vgpu_mode.value}) holds {names}"

    def pci_devices(self) -> list[Any]:
        """The card in `host.hardware.pciDevice`, with its virtual functions."""
        return [self.pci_device(), *map(self._virtual_function, range(self.functions))]

    @property
    def functions(self) -> int:
        """How many virtual functions there are now."""
        return self.virtual_functions if self.shareable else 0

    def _virtual_function(self, number: int) -> Any:
        """A virtual function: of the card's own ids and class, behind it on the same bus."""
        slot, function = divmod(FIRST_VF_OFFSET + number, 8)
        found = self.pci_device()
        found.id = f"{self.address[:8]}{slot:02x}.{function}"
        found.slot, found.function, found.subDeviceId = slot, function, 0
        return found

    def pci_device(self) -> Any:
        """The card as a PCI device."""
        bus, slot = int(self.address[5:7], 16), int(self.address[8:10], 16)
        return vim.host.PciDevice(
            id=self.address,
            classId=CLASS_3D,
            bus=bus - 0x100 if bus & 0x80 else bus,
            slot=slot,
            function=int(self.address[-1]),
            vendorId=signed(self.model.vendor_id),
            subVendorId=signed(self.model.vendor_id),
            vendorName="NVIDIA Corporation",
            deviceId=signed(self.device_id),
            # Physical functions have one; govc tells virtual functions by its absence.
            subDeviceId=signed(self.device_id),
            deviceName=self.model.name,
            deviceClassName="3D controller",
        )

    def passthru_info(self) -> Any:
        """The card in `host.config.pciPassthruInfo`."""
        setting = {
            "id": self.address,
            "dependentDevice": self.address,
            "passthruCapable": True,
            "passthruEnabled": self.enabled,
            "passthruActive": self.active,
            "hardwareLabel": self.label,
        }
        if not self.functions:
            return vim.host.PciPassthruInfo(**setting)
        return vim.host.SriovInfo(
            **setting,
            sriovEnabled=True,
            sriovCapable=True,
            sriovActive=True,
            numVirtualFunctionRequested=self.functions,
            numVirtualFunction=self.functions,
            maxVirtualFunctionSupported=self.virtual_functions,
        )

    def graphics_info(self) -> Any:
        """The card in `host.config.graphicsInfo`."""
        # `direct` is what HostGraphicsInfo's types have for a card in passthrough (API reference).
        return vim.host.GraphicsInfo(
            deviceName=self.model.name,
            vendorName="NVIDIA Corporation",
            pciId=self.address,
            graphicsType="direct" if self.active else self.graphics,
            vgpuMode=self.vgpu_mode.value if self.shareable else "none",
            memorySizeInKB=self.model.framebuffer_gib * 2**20,
            vm=[hold.vm.ref for hold in self.holds],
        )


def offered(cards: Iterable[Card]) -> dict[str, tuple[CardModel, Profile]]:
    """Return the vGPU profiles that these cards offer together, by name."""
    return {p.name: (card.model, p) for card in cards for p in card.offers}


def device_groups(cards: Iterable[Card]) -> dict[str, tuple[str, int]]:
    """Return the vendor device groups of a host: name to (profile of each member, members).

    A host offers groups of its NVLink cards, whole cards each (NVIDIA, "vGPUs that Support
    Peer-to-Peer CUDA Transfers").
    """
    counts: dict[str, int] = {}
    for card in cards:
        if card.model.nvlink:
            for profile in card.offers:
                if profile.max_per_card == 1 and not profile.mig:
                    counts[profile.name] = counts.get(profile.name, 0) + 1
    return {
        f"Nvidia:{members}@{name}%NVLink": (name, members)
        for name, count in counts.items()
        for members in FULL_PROFILES_PER_GROUP
        if members <= count
    }
