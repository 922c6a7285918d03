"""The steps of a machine as data, and which of them a VM still lacks.

Nothing here remembers a run: where to go on is read off the VM, so that a run that was
killed at any step is continued by the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from provision.plan.model import Action, ActionKind
from provision.plan.snapshot import STAMP_SPEC, Power, Vm
from provision.spec.model import GpuRequest, PassthroughRequest, VgpuRequest


class Step(StrEnum):
    """What is done to one machine at a time; the values are what people read."""

    CLONE = "clone"
    PREPARE_HARDWARE = "prepare hardware"
    ATTACH = "attach"
    RECONFIGURE = "reconfigure"
    RELOCATE = "move"
    POWER_ON = "power on"
    GUEST = "guest"
    SHUT_DOWN = "shut down"
    DESTROY = "destroy"
    CLEAN_UP = "clean up"
    FOLLOW = "follow"


class Leftover(StrEnum):
    """What becomes of a VM that this run made, when one of its steps fails."""

    REMOVE = "remove"
    KEEP = "keep"


BUILD = (Step.CLONE, Step.PREPARE_HARDWARE, Step.ATTACH, Step.POWER_ON, Step.GUEST)
REMOVAL = (Step.SHUT_DOWN, Step.DESTROY)
PIPELINES: Mapping[ActionKind, tuple[Step, ...]] = {
    ActionKind.NONE: (),
    ActionKind.CREATE: BUILD,
    ActionKind.UPDATE: (
        Step.SHUT_DOWN,
        Step.RELOCATE,
        Step.PREPARE_HARDWARE,
        Step.ATTACH,
        Step.RECONFIGURE,
        Step.POWER_ON,
        Step.GUEST,
    ),
    ActionKind.REPLACE: REMOVAL + BUILD,
    ActionKind.DESTROY: REMOVAL,
}

# A VM that never got its hardware is of no use to anyone. One that was refused at power-on or
# does not answer holds no card or holds the evidence: it stays, owned, and the next run
# continues it (faults 8, 9 and 29). An outcome that is not known always keeps the VM, because
# a task may still be working on it (fault 23).
ON_FAILURE: Mapping[Step, Leftover] = {
    Step.CLONE: Leftover.REMOVE,
    Step.PREPARE_HARDWARE: Leftover.REMOVE,
    Step.ATTACH: Leftover.REMOVE,
    Step.RECONFIGURE: Leftover.KEEP,
    Step.RELOCATE: Leftover.KEEP,
    Step.POWER_ON: Leftover.KEEP,
    Step.GUEST: Leftover.KEEP,
    Step.SHUT_DOWN: Leftover.KEEP,
    Step.DESTROY: Leftover.KEEP,
    Step.CLEAN_UP: Leftover.KEEP,
    Step.FOLLOW: Leftover.KEEP,
}

# These only wait and change nothing: a user who asks to stop need not sit them out.
WAITS = frozenset({Step.GUEST, Step.FOLLOW})


def gpus_wanted(gpu: GpuRequest | None) -> int:
    """Return how many GPU devices a request needs at least; a device group has one or more."""
    if gpu is None:
        return 0
    return gpu.count if isinstance(gpu, VgpuRequest | PassthroughRequest) else 1


def has_gpus(vm: Vm) -> int:
    """Return how many GPU devices the VM has that vdl could have made."""
    return sum(gpu.kind != "other" for gpu in vm.gpus)


def _wanted(action: Action) -> int:
    return gpus_wanted(action.spec.gpu) if action.spec else 0


def _drifted(action: Action, vm: Vm) -> bool:
    """Whether what the VM has differs from its spec, rather than only missing all its GPUs."""
    if action.spec is None or vm.stamps.get(STAMP_SPEC) != action.spec.digest:
        return True
    return any(change.path != "gpu" or has_gpus(vm) for change in action.changes)


def _unfinished(action: Action, vm: Vm) -> bool:
    """Whether the VM is a clone of today's spec that may not have its GPUs or its disk size."""
    if _drifted(action, vm):
        return False
    return not has_gpus(vm) if _wanted(action) else vm.power is Power.OFF


def _changes(action: Action, vm: Vm) -> bool:
    return _drifted(action, vm) or _unfinished(action, vm)


def _in_place(action: Action, vm: Vm) -> bool:
    """Whether the VM is changed while it runs."""
    return not action.restart and vm.power is Power.ON


_UPDATE_NEEDS: Mapping[Step, Callable[[Action, Vm], bool]] = {
    Step.SHUT_DOWN: lambda action, vm: vm.power is not Power.OFF and _changes(action, vm),
    Step.RELOCATE: lambda action, _vm: action.moves,
    Step.PREPARE_HARDWARE: _changes,
    Step.ATTACH: _unfinished,
    Step.RECONFIGURE: _drifted,
    Step.POWER_ON: lambda action, vm: vm.power is not Power.ON or _changes(action, vm),
    Step.GUEST: lambda _action, _vm: True,
}


def steps_of(action: Action) -> tuple[Step, ...]:
    """Return the steps that the machine still needs, read off its VM as the plan saw it."""
    steps, vm = PIPELINES[action.kind], action.vm
    if action.kind is ActionKind.UPDATE and vm is not None:
        if _in_place(action, vm):
            return (Step.RECONFIGURE, Step.GUEST)
        return tuple(step for step in steps if _UPDATE_NEEDS[step](action, vm))
    return steps


# Where a step's goal can be read off a VM. A call that failed because someone else, or a
# call whose answer was lost, had already done the work is no failure.
_REACHED: Mapping[Step, Callable[[Action, Vm], bool]] = {
    Step.ATTACH: lambda action, vm: 0 < _wanted(action) <= has_gpus(vm),
    Step.RELOCATE: lambda action, vm: vm.host_id == action.host_id,
    Step.POWER_ON: lambda _action, vm: vm.power is Power.ON,
    Step.SHUT_DOWN: lambda _action, vm: vm.power is Power.OFF,
}


def reached(step: Step, action: Action, vm: Vm | None) -> bool:
    """Whether the VM (None where it does not exist) is where the step should bring it."""
    if step in (Step.DESTROY, Step.CLEAN_UP):
        return vm is None
    if vm is None or step not in _REACHED:
        return False
    return _REACHED[step](action, vm)
