"""What a VM is now against what its spec says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provision.gpu.catalogue import stem_of
from provision.plan.devices import devices_text, request_text
from provision.plan.model import Change
from provision.plan.needs import ModelNeed, Need, PinnedNeed, VgpuNeed, models_of
from provision.plan.settings import FIRMWARE, MMIO_SIZE, derived_settings
from provision.plan.snapshot import STAMP_RESOLVED, STAMP_SPEC, Card, GpuDevice, Network, Power, Vm
from provision.spec.model import AFFINITY, GpuRequest, GroupRequest, Machine
from provision.spec.units import Size

# Read from the VM itself; everything else that a spec has can only be known from the stamp.
_SEEN_ON_THE_VM = (
    frozenset({"lab", "group", "index", "cpus", "memory", "gpu", "network"}) | AFFINITY
)

# What vSphere changes in a running VM: a disk may grow (VMware KB 1004047), and a stamp is text.
WHILE_IT_RUNS = frozenset({"disk", "spec"})

LONGEST_VALUE = 48


@dataclass(frozen=True, slots=True)
class Drift:
    """The difference between a VM and its spec.

    Attributes:
        changes: What differs, sorted by path; empty where nothing does.
        remade: Paths among them that only a new VM can bring, as the first boot has used them.
        unfinished: What an earlier run did not get to, such as `powered off`.
        gpus_missing: Whether the VM has no GPU yet but shall have one: it has never run.
    """

    changes: tuple[Change, ...] = ()
    remade: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()
    gpus_missing: bool = False

    @property
    def while_it_runs(self) -> bool:
        """Whether the VM is running and can be brought to its spec without a power cycle."""
        paths = {change.path for change in self.changes}
        return not self.unfinished and not self.remade and paths <= WHILE_IT_RUNS


def drift(
    machine: Machine,
    vm: Vm,
    need: Need | None,
    cards: Sequence[Card] = (),
    networks: Sequence[Network] = (),
) -> Drift:
    """Compare a VM with its spec.

    Args:
        machine: The machine as it shall be.
        vm: The VM as it is.
        need: The machine's GPU request, resolved; None where it has none or it is unknown.
        cards: The physical card behind each GPU that the VM holds; none while it is off.
        networks: The networks of the cluster.
    """
    visible = [
        *_sizes(machine, vm),
        *_network(machine, vm, networks),
        *_gpus(machine, vm, need),
        *settings_changes(vm, cards),
    ]
    stamped = _stamped(machine, vm)
    remade = tuple(change.path for change in stamped if not _grows(change))
    if not visible and not stamped:
        visible = _digest(machine, vm)
    gpus_missing = machine.gpu is not None and not _own_kinds(vm)
    unfinished = ["GPUs missing"] if gpus_missing else []
    if vm.power is not Power.ON:
        unfinished.append("powered off" if vm.power is Power.OFF else "suspended")
    return Drift(
        changes=tuple(sorted([*visible, *stamped], key=lambda change: change.path)),
        remade=remade,
        unfinished=tuple(unfinished) if vm.power is not Power.ON else (),
        gpus_missing=gpus_missing and vm.power is not Power.ON,
    )


def _sizes(machine: Machine, vm: Vm) -> list[Change]:
    changes = []
    if vm.cpus != machine.cpus:
        changes.append(Change("cpus", str(vm.cpus), str(machine.cpus)))
    if vm.memory // 2**20 != machine.memory.mib:
        changes.append(Change("memory", str(Size(vm.memory)), str(machine.memory)))
    return changes


def _network(machine: Machine, vm: Vm, networks: Sequence[Network]) -> list[Change]:
    """Return whether the network card is on another network than the lab's, or on none.

    A guest asks for an address when it boots, so that another network takes a power cycle.
    """
    names = {network.wire: network.name for network in networks}
    wanted = [network for network in networks if network.name == machine.network]
    if vm.network is None or not wanted or vm.network in {network.wire for network in wanted}:
        return []
    now = names.get(vm.network, vm.network)
    return [Change("network", now or "none", machine.network)]


def settings_changes(vm: Vm, cards: Sequence[Card]) -> list[Change]:
    """Return which derived settings somebody has taken from a VM that holds, or will hold, cards.

    Firmware is left out: an installed guest boots by one kind only, so one that runs is right.
    More MMIO space than needed does no harm.
    """
    return [
        Change(key, vm.settings.get(key, "none"), value)
        for key, value in derived_settings(cards).items()
        if key != FIRMWARE and vm.settings and not _suffices(key, vm.settings.get(key, ""), value)
    ]


def _suffices(key: str, now: str, wanted: str) -> bool:
    if key == MMIO_SIZE and now.isdecimal():
        return int(now) >= int(wanted)
    return now.upper() == wanted


def _own_kinds(vm: Vm) -> list[GpuDevice]:
    """Return the devices that vdl could have made; others are kept as they are."""
    return [gpu for gpu in vm.gpus if gpu.kind != "other"]


def _gpus(machine: Machine, vm: Vm, need: Need | None) -> list[Change]:
    devices = _own_kinds(vm)
    if (machine.gpu is not None and need is None) or _agree(machine.gpu, need, devices):
        return []
    return [Change("gpu", devices_text(devices) or "none", request_text(machine.gpu))]


def _agree(request: GpuRequest | None, need: Need | None, devices: list[GpuDevice]) -> bool:
    """Whether the devices of a VM are what its spec asks for."""
    grouped = any(gpu.kind == "group" or gpu.group_key is not None for gpu in devices)
    if request is None:
        return not devices
    if isinstance(request, GroupRequest):
        return grouped and all(gpu.value == request.group for gpu in devices)
    if grouped:
        return False
    if isinstance(need, PinnedNeed):
        return [(gpu.kind, gpu.value) for gpu in devices] == [("passthrough", need.address)]
    if isinstance(need, VgpuNeed | ModelNeed):
        return len(devices) == need.count and all(_is_one(gpu, need) for gpu in devices)
    return True


def _is_one(gpu: GpuDevice, need: VgpuNeed | ModelNeed) -> bool:
    if isinstance(need, VgpuNeed):
        return gpu.kind == "vgpu" and stem_of(gpu.value) == stem_of(need.profile.name)
    return _is_model(gpu, need)


def _is_model(gpu: GpuDevice, need: ModelNeed) -> bool:
    """Whether a device gets a card of this model and label; it may allow other models too."""
    same = gpu.kind == "passthrough" and gpu.label == need.label
    return same and need.model in models_of(gpu)


def _stamped(machine: Machine, vm: Vm) -> list[Change]:
    """Return what differs in what the VM was made from and can't be read from the VM."""
    if vm.stamps.get(STAMP_SPEC) == machine.digest:
        return []
    old = _resolved(vm.stamps)
    new = machine.model_dump(mode="json")
    return [
        Change(path, shorten(str(old[path])), shorten(str(new[path])))
        for path in sorted((new.keys() & old.keys()) - _SEEN_ON_THE_VM)
        if old[path] != new[path]
    ]


def _digest(machine: Machine, vm: Vm) -> list[Change]:
    """Return the changed digest, where nothing tells what is behind it."""
    old = vm.stamps.get(STAMP_SPEC, "")
    return (
        [] if old == machine.digest else [Change("spec", old[:12] or "none", machine.digest[:12])]
    )


def shorten(text: str) -> str:
    """Return a value as one can read it in a line: a public key is longer than that."""
    half = LONGEST_VALUE // 2
    return text if len(text) <= LONGEST_VALUE else f"{text[:half]}…{text[-half:]}"


def _grows(change: Change) -> bool:
    """Whether the change is a larger disk: an existing VM can have that."""
    if change.path != "disk":
        return False
    try:
        return Size.parse(change.new) > Size.parse(change.old)
    except ValueError:
        return False  # somebody has written the stamp by hand


def _resolved(stamps: Mapping[str, str]) -> dict[str, Any]:
    try:
        value = json.loads(stamps.get(STAMP_RESOLVED, "{}"))
    except json.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
