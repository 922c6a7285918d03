"""What administrators set on a host's cards: passthrough and graphics sharing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyVmomi import vim, vmodl

from provision.gpu.types import AssignmentPolicy, VgpuMode
from provision.simulator.engine.objects import SimObject, method, prop
from provision.simulator.inventory import faults, gpuinfo
from provision.simulator.inventory.cards import Card, offered
from provision.simulator.inventory.hostinfo import NETWORK_CARD

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.inventory.host import Host


class PciPassthruSystem(SimObject):
    """`host.configManager.pciPassthruSystem`."""

    wsdl_type = vim.host.PciPassthruSystem
    prefix = "pciPassthruSystem"

    def __init__(self, host: Host) -> None:
        self.host = host
        super().__init__(host.world, f"pciPassthruSystem-{host.moid}")

    @prop("pciPassthruInfo")
    def info(self) -> list[Any]:
        """What may be and is passed through."""
        network_card = vim.host.PciPassthruInfo(
            id=NETWORK_CARD,
            dependentDevice=NETWORK_CARD,
            passthruEnabled=False,
            passthruCapable=False,
            passthruActive=False,
        )
        return [network_card, *(card.passthru_info() for card in self.host.cards)]

    @method("Refresh")
    def refresh(self, _: Call) -> None:
        """Read the devices anew: nothing changes by itself."""

    @method("UpdatePassthruConfig")
    def update(self, _: Call, config: list[Any]) -> None:
        """Set passthrough and hardware labels; real after a reboot, or now where rebind works."""
        changes = [(self._card(entry.id), entry) for entry in config]
        for card, entry in changes:
            if entry.passthruEnabled != card.enabled:
                self._require_unused(card)
        for card, entry in changes:
            card.enabled = bool(entry.passthruEnabled)
            if entry.hardwareLabel is not None:
                card.label = entry.hardwareLabel or None
            if self.host.rebind and entry.applyNow is not False:
                card.reboot()
        self.host.touch()
        self.touch()

    def _card(self, address: str) -> Card:
        card = self.host.card(address)
        if card is None:
            raise faults.invalid_argument(
                "config.id", f"Host {self.host.name} has no device {address} to pass through."
            )
        return card

    def _require_unused(self, card: Card) -> None:
        if card.holds:
            raise faults.refuse(
                vim.fault.HostConfigFault,
                f"Passthrough can't change on host {self.host.name} while in use: "
                f"{card.describe()}.",
            )


class GraphicsManager(SimObject):
    """`host.configManager.graphicsManager`."""

    wsdl_type = vim.host.GraphicsManager
    prefix = "graphicsManager"

    def __init__(self, host: Host) -> None:
        self.host = host
        super().__init__(host.world, f"graphicsManager-{host.moid}")

    @prop("graphicsInfo")
    def info(self) -> list[Any]:
        """The GPUs, how they are shared and by which VMs."""
        return [card.graphics_info() for card in self.host.cards]

    @prop("graphicsConfig")
    def config(self) -> Any:
        """How GPUs shall be shared."""
        return vim.host.GraphicsConfig(
            hostDefaultGraphicsType=self.host.default_graphics,
            sharedPassthruAssignmentPolicy=self.host.policy.value,
            deviceType=[
                vim.host.GraphicsConfig.DeviceType(
                    deviceId=card.address,
                    graphicsType=card.next_graphics,
                    vgpuMode=card.next_vgpu_mode.value,
                )
                for card in self.host.cards
                if not card.active
            ],
        )

    @prop("sharedPassthruGpuTypes")
    def profile_names(self) -> list[str]:
        """The vGPU profiles on offer."""
        return sorted(offered(self.host.cards))

    @prop("sharedGpuCapabilities")
    def capabilities(self) -> list[Any]:
        """What VMs with each vGPU profile can do: suspend and migrate, no snapshot."""
        return [
            vim.host.SharedGpuCapabilities(
                vgpu=name,
                diskSnapshotSupported=False,
                memorySnapshotSupported=False,
                suspendSupported=True,
                migrateSupported=True,
            )
            for name in self.profile_names()
        ]

    @method("RefreshGraphicsManager")
    def refresh(self, _: Call) -> None:
        """Read the devices anew: nothing changes by itself."""

    @method("IsSharedGraphicsActive")
    def is_shared_active(self, _: Call) -> bool:
        """Tell whether a card is shared now."""
        return any(card.shareable for card in self.host.cards)

    @method("RetrieveVgpuDeviceInfo")
    def device_info(self, _: Call) -> list[Any]:
        """Return what each kind of card can be shared as."""
        return gpuinfo.vgpu_devices([self.host])

    @method("RetrieveVgpuProfileInfo")
    def profile_info(self, _: Call) -> list[Any]:
        """Return the vGPU profiles on offer with their framebuffer."""
        return gpuinfo.vgpu_profiles([self.host])

    @method("UpdateGraphicsConfig")
    def update(self, _: Call, config: Any) -> None:
        """Set types, vGPU modes and the policy; types and modes are real after a reboot."""
        wanted = {device.deviceId: device for device in config.deviceType or ()}
        for address, device in wanted.items():
            if self.host.card(address) is None:
                raise faults.invalid_argument(
                    "config.deviceType", f"Host {self.host.name} has no graphics device {address}."
                )
            # MIG is shown (HostGraphicsInfoVgpuMode) and can't be set (HostGraphicsConfigVgpuMode).
            if device.vgpuMode not in {None, VgpuMode.SAME_SIZE, VgpuMode.MIXED_SIZE}:
                raise faults.invalid_argument(
                    "config.deviceType", f"The vGPU mode {device.vgpuMode} can't be set."
                )
        self.host.default_graphics = config.hostDefaultGraphicsType
        self.host.policy = AssignmentPolicy(config.sharedPassthruAssignmentPolicy)
        for card in self.host.cards:
            self._set(card, wanted.get(card.address))
        self.host.touch()
        self.touch()

    def _set(self, card: Card, wanted: Any) -> None:
        graphics = wanted.graphicsType if wanted else self.host.default_graphics
        mode = VgpuMode(wanted.vgpuMode) if wanted and wanted.vgpuMode else card.next_vgpu_mode
        changed = (graphics, mode) != (card.next_graphics, card.next_vgpu_mode)
        if changed and card.holds:
            raise faults.refuse(
                vmodl.fault.NotSupported,
                f"Graphics settings of host {self.host.name} can't change while in use: "
                f"{card.describe()}.",
            )
        card.next_graphics, card.next_vgpu_mode = graphics, mode
