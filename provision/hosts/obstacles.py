"""What stands in the way of a host's preparation, and what becomes of the VMs on it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from provision.gpu.types import VgpuMode
from provision.hosts.differences import SETTABLE, Differences, knows_modes
from provision.hosts.wish import PassthroughWish, SharedWish, Wish, cards_of, label_of, model_of
from provision.plan.model import Finding, Severity
from provision.plan.snapshot import Connection, Power
from provision.vsphere.host_port import GpuState, HostState, HostVm


@dataclass(frozen=True, slots=True)
class Displaced:
    """What happens to one VM on the host."""

    vm: str
    what: str


def displaced(state: HostState) -> tuple[Displaced, ...]:
    """Return what becomes of the powered-on VMs when the host enters maintenance mode."""
    return tuple(Displaced(vm.name, _fate(state, vm)) for vm in _running(state))


def obstacles(
    state: HostState,
    wish: Wish,
    wanted: Differences,
    *,
    stopping: bool,
    resuming: bool,
    ours: bool,
) -> Iterator[Finding]:
    """Yield what a person should know, the reasons to refuse first.

    Args:
        state: The host.
        wish: What is wanted.
        wanted: What has to change for it.
        stopping: Whether the host has to enter maintenance mode.
        resuming: Whether the host is away because vdl has rebooted it.
        ours: Whether vdl is to end the maintenance mode that the host may be in.
    """
    yield from _unavailable(state, resuming=resuming)
    if not state.gpus:
        yield _error("gpu-unknown", state.name, "the host has no NVIDIA card", "name another host")
    if isinstance(wish, SharedWish):
        yield from _mode_obstacles(state, wish)
    yield from _incapable(state, wish, wanted)
    if wanted.any and not resuming:
        yield from _in_use(state, wanted, stopping=stopping)
        yield from _lacking(state)
    if stopping:
        yield from _staying(state)
    if isinstance(wish, SharedWish) and state.gpus and not wanted.any and not state.profiles:
        yield _no_profiles(state)
    if state.in_maintenance and not ours:
        yield _foreign_maintenance(state)


def _unavailable(state: HostState, *, resuming: bool) -> Iterator[Finding]:
    if state.connection is not Connection.CONNECTED and not resuming:
        yield _error(
            "host-unavailable",
            state.name,
            f"the host is {state.connection.value}",
            "reconnect it in vCenter, then run the same command again",
        )


def _mode_obstacles(state: HostState, wish: SharedWish) -> Iterator[Finding]:
    cards = cards_of(state, wish)
    if state.gpus and not cards:
        message = "none of the host's cards can be shared as vGPUs"
        yield _error("gpu-unknown", state.name, message, "use --passthrough instead")
    if wish.vgpu_mode is VgpuMode.MIXED_SIZE and not knows_modes(state):
        message = f"mixedSize needs vSphere 8.0 Update 3, the host has {state.api_version}"
        yield _error("vgpu-mode", state.name, message, "upgrade the host, or use sameSize")
    for gpu in cards:
        yield from _mode_obstacle(state, wish, gpu)


def _mode_obstacle(state: HostState, wish: SharedWish, gpu: GpuState) -> Iterator[Finding]:
    model, mode = model_of(gpu), wish.vgpu_mode
    subject = f"{state.name} {label_of(gpu)}"
    if mode is VgpuMode.MIXED_SIZE and model is not None and not model.mixed_size:
        message = "mixedSize needs a card of the Ampere architecture or later"
        yield _error("vgpu-mode", subject, message, "use --vgpu-mode sameSize")
    elif mode is VgpuMode.MIG and model is not None and model.mig is None:
        yield _error("vgpu-mode", subject, "the card has no MIG", "use --vgpu-mode sameSize")
    elif mode is VgpuMode.MIG and gpu.vgpu_mode is not VgpuMode.MIG:
        yield _by_hand(subject, "turned on", "1")
    elif mode in SETTABLE and gpu.vgpu_mode is VgpuMode.MIG:
        yield _by_hand(subject, "turned off", "0")


def _by_hand(subject: str, word: str, switch: str) -> Finding:
    # The API reports MIG (HostGraphicsInfoVgpuMode) and can't set it (HostGraphicsConfigVgpuMode).
    return _error(
        "vgpu-mode",
        subject,
        f"MIG can only be {word} on the host itself: vSphere shows it and can't set it",
        f"in the host's ESXi Shell: nvidia-smi -i <index of the card> -mig {switch}; reboot the "
        "host, then run the same command again. A card in passthrough must be shared first",
    )


def _incapable(state: HostState, wish: Wish, wanted: Differences) -> Iterator[Finding]:
    if not isinstance(wish, PassthroughWish):
        return
    for gpu in state.gpus:
        if gpu.address in wanted.passthrough and not gpu.capable:
            yield _error(
                "passthrough-incapable",
                f"{state.name} {label_of(gpu)}",
                "the host can't pass this card through",
                "enable the IOMMU (VT-d, AMD-Vi) in the host's BIOS",
            )


def _in_use(state: HostState, wanted: Differences, *, stopping: bool) -> Iterator[Finding]:
    """Yield the cards that VMs hold; without a stop, only of those that change.

    A VM that asked for a card by its label would not start again once that label is another.
    """
    names = {vm.id: vm.name for vm in state.vms}
    for gpu in state.gpus:
        relabelled = gpu.label is not None and gpu.address in wanted.labels
        if gpu.vm_ids and (stopping or relabelled or gpu.address in wanted.passthrough):
            users = ", ".join(sorted(names.get(vm, vm) for vm in gpu.vm_ids))
            yield _error(
                "gpu-in-use",
                f"{state.name} {label_of(gpu)}",
                f"the card is in use by {users}",
                "have their owners shut them down, or `vdl destroy` where they are a lab's; "
                "vdl powers off no VM for this",
            )


def _staying(state: HostState) -> Iterator[Finding]:
    """Yield the running VMs that would keep the host from entering maintenance mode."""
    holders = {vm for gpu in state.gpus for vm in gpu.vm_ids}
    for vm in _running(state):
        if vm.agent or vm.id in holders:
            continue
        if vm.devices:
            yield _error(
                "vm-immovable",
                vm.name,
                f"the VM runs on {state.name} with a device of the host and can't be moved",
                "have its owner shut it down; vdl powers off no VM for this",
            )
        elif not state.evacuates:
            yield _error(
                "vm-running",
                vm.name,
                f"the VM runs on {state.name} and nothing moves it away: {state.staying}",
                "move it to another host or shut it down",
            )


def _lacking(state: HostState) -> Iterator[Finding]:
    for text in state.privileges_missing:
        message = f"the user lacks {text}"
        yield _error(
            "privilege-missing",
            state.name,
            message,
            "have an administrator add it to the user's role; docs/privileges.md has it",
        )


def _no_profiles(state: HostState) -> Finding:
    return Finding(
        Severity.WARNING,
        "vgpu-manager-missing",
        state.name,
        "the host offers no vGPU profiles",
        "install NVIDIA's host driver (vGPU manager), and enable SR-IOV in the BIOS",
    )


def _foreign_maintenance(state: HostState) -> Finding:
    return Finding(
        Severity.WARNING,
        "host-maintenance",
        state.name,
        "the host is in maintenance mode, which vdl is not known to have entered: it stays so",
        "use --leave-maintenance to have vdl leave it at the end",
    )


def _fate(state: HostState, vm: HostVm) -> str:
    if vm.agent:
        return "an agent, which vCenter moves or stops by itself"
    if vm.devices:
        return "has a GPU or another device of the host: it can't be moved"
    if state.evacuates:
        return "DRS moves it to another host while it runs"
    return f"stays, so that the host can't be prepared: {state.staying}"


def _running(state: HostState) -> tuple[HostVm, ...]:
    return tuple(vm for vm in state.vms if vm.power is Power.ON)


def _error(code: str, subject: str, message: str, fix: str) -> Finding:
    return Finding(Severity.ERROR, code, subject, message, fix)
