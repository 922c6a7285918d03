"""What a host asks of a VM with GPUs at power-on, and which cards it then gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pyVmomi import vim, vmodl

from provision.gpu import capacity, profiles
from provision.gpu.catalogue import Profile
from provision.gpu.mmio import mmio_size_gb
from provision.simulator.inventory import faults
from provision.simulator.inventory.cards import Card, Hold, offered
from provision.simulator.inventory.devices import Backing, DynamicBacking, VgpuBacking, label

if TYPE_CHECKING:
    from provision.simulator.inventory.host import Host
    from provision.simulator.inventory.vm import VirtualMachine
    from provision.simulator.inventory.vmconfig import VmConfig


class Runnable(Protocol):
    """What a host judges: a VM, or a configuration that no VM has yet."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def config(self) -> VmConfig:
        """What it asks for."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A device of the VM and the card that it gets; `profile` is None for the whole card."""

    device: Any
    card: Card
    profile: str | None


def admit(vm: Runnable, host: Host) -> list[Grant]:
    """Return the cards that the VM gets on this host; nothing is changed.

    Raises:
        vmodl.MethodFault: The host does not run this VM now; the message says why.
    """
    require_available(vm, host)
    return grants(vm, host, host.cards)


def require_available(vm: Runnable, host: Host) -> None:
    """Make sure that a host runs VMs at all.

    Raises:
        vmodl.MethodFault: It is away, or in maintenance mode.
    """
    if host.connection != "connected":
        message = _refused(vm, host, f"the host is {host.connection}.")
        raise faults.refuse(vmodl.fault.HostNotConnected, message)
    if host.maintenance:
        message = _refused(vm, host, "the host is in maintenance mode.")
        raise faults.refuse(vim.fault.InvalidHostState, message, host=host.ref)


def grants(vm: Runnable, host: Host, cards: list[Card]) -> list[Grant]:
    """Return what the VM gets of these cards of a host, whatever state the host is in.

    Raises:
        vmodl.MethodFault: Memory or cards do not suffice, or a setting is wrong.
    """
    _check_memory(vm, host)
    return fit(vm, host, cards)


def fit(vm: Runnable, host: Host, cards: list[Card]) -> list[Grant]:
    """Return what the VM gets of these cards of a host if memory is no matter.

    Raises:
        vmodl.MethodFault: Cards do not suffice, or a setting is wrong.
    """
    gpus = vm.config.gpus
    if gpus:
        _check_settings(vm, host, gpus)
    found = _assign(_Planner(vm, host, cards), gpus)
    _check_mapping(vm, host, found)
    return found


def hold(vm: VirtualMachine, granted: list[Grant]) -> None:
    """Give the VM its cards."""
    for grant in granted:
        grant.card.holds.append(Hold(vm, grant.device.key, grant.profile))
        if isinstance(grant.device.backing, DynamicBacking):
            grant.device.backing.assignedId = grant.card.address


def release(vm: VirtualMachine, host: Host) -> None:
    """Take the VM's cards back."""
    for card in host.cards:
        card.holds = [held for held in card.holds if held.vm is not vm]
    for device in vm.config.gpus:
        if isinstance(device.backing, DynamicBacking):
            device.backing.assignedId = None


def _refused(vm: Runnable, host: Host, reason: str) -> str:
    return f"Host {host.name} can't power on virtual machine {vm.name}: {reason}"


def _check_memory(vm: Runnable, host: Host) -> None:
    wanted = vm.config.reservation_mb * 2**20
    free = host.memory - host.memory_reserved
    if wanted > free:
        raise faults.refuse(
            vim.fault.InsufficientHostMemoryCapacityFault,
            _refused(
                vm,
                host,
                f"{wanted // 2**20} MiB of memory are to be reserved, "
                f"{free // 2**20} MiB can still be.",
            ),
            host=host.ref,
            unreserved=free,
            requested=wanted,
        )


def _check_settings(vm: Runnable, host: Host, gpus: list[Any]) -> None:
    config, names = vm.config, ", ".join(map(label, gpus))
    if config.reservation_mb < config.memory_mb:
        reason = (
            "Invalid memory setting: memory reservation (sched.mem.min) should be equal to "
            f"memsize({config.memory_mb}). It is {config.reservation_mb}, and {names} needs it."
        )
        raise faults.vm_config(_refused(vm, host, reason))
    if config.cpu_hot_add:
        # Broadcom KB 89638: hot-add and passthrough devices exclude each other.
        raise faults.vm_config(_refused(vm, host, f"CPU hot-add must be off with {names}."))


def _assign(planner: _Planner, gpus: list[Any]) -> list[Grant]:
    """Choose cards for pinned devices first, then by model, then for vGPUs."""
    for kind, choose in (
        (Backing, planner.pinned),
        (DynamicBacking, planner.dynamic),
        (VgpuBacking, planner.vgpu),
    ):
        for device in gpus:
            if isinstance(device.backing, kind):
                planner.grants.append(choose(device))
    planner.check_series()
    return planner.grants


class _Planner:
    """Cards of one host while the devices of one VM are given theirs."""

    def __init__(self, vm: Runnable, host: Host, cards: list[Card]) -> None:
        self.vm = vm
        self.host = host
        self.cards = cards
        self.grants: list[Grant] = []

    def _taken(self, card: Card) -> bool:
        return bool(card.holds) or any(grant.card is card for grant in self.grants)

    def pinned(self, device: Any) -> Grant:
        """Return the card at the address that the device names."""
        backing = device.backing
        card = next((c for c in self.cards if c.address == backing.id), None)
        if card is None or self._differs(card, backing):
            raise faults.vm_config(
                self._reason(
                    "The systemId does not match the current system or the deviceId, and the "
                    f"vendorId does not match the device currently at {backing.id}."
                )
            )
        if not card.passable:
            pending = "a reboot of the host is pending" if card.enabled else "it is not enabled"
            raise faults.refuse(
                vim.fault.DeviceBackingNotSupported,
                self._reason(f"{backing.id} is not active for passthrough ({pending})."),
                device=label(device),
                backing=backing.id,
            )
        if self._taken(card):
            raise faults.vm_config(self._reason(f"Device is already in use: {card.describe()}."))
        return Grant(device, card, None)

    def _differs(self, card: Card, backing: Any) -> bool:
        return (
            backing.systemId != self.host.uuid
            or int(backing.deviceId, 16) & 0xFFFF != card.device_id
            or backing.vendorId & 0xFFFF != card.model.vendor_id
        )

    def dynamic(self, device: Any) -> Grant:
        """Return a free card of a model that the device allows."""
        fitting = [card for card in self.cards if _allows(device.backing, card)]
        for card in fitting:
            if card.passable and not self._taken(card):
                return Grant(device, card, None)
        cards = "; ".join(_state(card) for card in fitting) or "there is no such card"
        raise faults.refuse(
            vim.fault.InsufficientResourcesFault,
            f"Insufficient resources. One or more devices (pciPassthru{device.key - 13000}) "
            f"required by VM {self.vm.name} are not available on host {self.host.name}: {cards}.",
        )

    def vgpu(self, device: Any) -> Grant:
        """Return the card that the host's policy picks for a vGPU."""
        name = device.backing.vgpu
        offer = offered(self.cards).get(name)
        if offer is None:
            raise self._no_graphics(f"no card offers {name}: {self._cards_state()}.")
        model, profile = offer
        cards = {
            card.address: card
            for card in self.cards
            if profile in card.offers and card.model is model and card.whole_owner is None
        }
        if group := device.deviceGroupInfo:
            self._check_group(group.groupInstanceKey, name)
        loads = [self._load(card) for card in cards.values()]
        chosen = capacity.choose(loads, profile, self.host.policy)
        if chosen is None:
            raise self._no_graphics(f"no card has room for {name}: {self._refusals(profile)}.")
        return Grant(device, cards[chosen.address], name)

    def _check_group(self, key: int, profile: str) -> None:
        """Make sure that the host can keep the promise of a vendor device group."""
        name = self.vm.config.groups.get(key, "")
        groups = self.host.device_groups
        if name not in groups or groups[name][0] != profile:
            raise self._no_graphics(f"the host does not offer the device group {name}.")

    def _load(self, card: Card) -> capacity.CardLoad:
        load = card.load
        for grant in self.grants:
            if grant.card is card and grant.profile is not None:
                load = load.with_profile(grant.profile)
        return load

    def _refusals(self, profile: Profile) -> str:
        return "; ".join(
            f"{card.describe()}: {capacity.refusal(self._load(card), profile) or 'free'}"
            for card in self.cards
            if profile in card.offers
        )

    def _cards_state(self) -> str:
        return "; ".join(map(_state, self.cards)) or "there is no card"

    def _no_graphics(self, reason: str) -> Any:
        return faults.refuse(vim.fault.InsufficientGraphicsResourcesFault, self._reason(reason))

    def _reason(self, reason: str) -> str:
        return _refused(self.vm, self.host, reason)

    def check_series(self) -> None:
        """Refuse vGPUs of different boards or series in one VM (NVIDIA vGPU release notes)."""
        names = [profiles.parse(g.profile) for g in self.grants if g.profile is not None]
        if len({(name.gpu, name.series) for name in names if name}) > 1:
            raise faults.vm_config(
                self._reason("all vGPUs of a VM must be of the same board and the same series.")
            )


def _allows(backing: Any, card: Card) -> bool:
    ids = {(d.vendorId & 0xFFFF, d.deviceId & 0xFFFF) for d in backing.allowedDevice or ()}
    if backing.customLabel and backing.customLabel != card.label:
        return False
    return (card.model.vendor_id, card.device_id) in ids


def _state(card: Card) -> str:
    if card.holds:
        return card.describe()
    if card.enabled and not card.active:
        return f"{card.address} waits for a reboot of the host to be active for passthrough"
    if card.active:
        return f"{card.address} is set to passthrough"
    return f"{card.address} ({card.model.name}) is set to graphics type {card.graphics}"


def _check_mapping(vm: Runnable, host: Host, granted: list[Grant]) -> None:
    """Check firmware and 64-bit MMIO space of a VM with large-BAR cards (KB 2142307)."""
    large = [grant.card for grant in granted if grant.card.model.needs_efi]
    if not large:
        return
    reasons = list(_mapping_faults(vm, [grant.card for grant in granted]))
    if reasons:
        where = ", ".join(card.address for card in large)
        message = _refused(
            vm, host, f"Module 'DevicePowerOn' power on failed. {where}: {'; '.join(reasons)}."
        )
        raise faults.vm_config(message)


def _mapping_faults(vm: Runnable, cards: list[Card]) -> Iterator[str]:
    settings = vm.config.extra
    if vm.config.firmware != "efi":
        yield "the card's BAR1 exceeds 256 MB, which needs EFI firmware"
    if settings.get("pciPassthru.use64bitMMIO", "").upper() != "TRUE":
        yield "pciPassthru.use64bitMMIO is not TRUE"
    needed = mmio_size_gb(card.model.framebuffer_gib for card in cards)
    text = settings.get("pciPassthru.64bitMMIOSizeGB", "0")
    if not text.isdigit() or int(text) < needed:
        yield f"pciPassthru.64bitMMIOSizeGB is {text}, {needed} are needed"
