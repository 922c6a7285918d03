"""One step of one machine, carried out through the port. Runs in a worker thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from provision.apply.pipeline import Step, reached
from provision.deadline import Deadline
from provision.errors import VdlError
from provision.plan.model import Action, Plan
from provision.plan.snapshot import Power, Vm
from provision.spec.model import Lab
from provision.vsphere.port import ActionFailed, GuestReport, OutcomeUnknown, Port

# vCenter's faults for a name that is taken: with our instance UUID behind it, another run of
# the same lab was faster; any other fault of a clone leaves at most a partial VM of our own.
NAME_TAKEN = frozenset({"DuplicateName", "AlreadyExists", "FileAlreadyExists"})

# Seconds between two looks at a machine that another run is making.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 10.0

AGAIN = "run the same command again"


@dataclass(frozen=True, slots=True)
class Job:
    """One step to carry out.

    Attributes:
        vm_id: Empty until there is a VM.
        seconds: The step's deadline.
        operation: The id under which vCenter logs it.
    """

    lab: Lab | None
    plan: Plan
    action: Action
    step: Step
    uuid: str
    vm_id: str
    seconds: float
    operation: str = ""


@dataclass(frozen=True, slots=True)
class TaskBegun:
    """vCenter has taken on a task for a job."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a job.

    Attributes:
        created: This run's clone call made the VM.
        follow: Another run makes the VM; this one only watches.
        gone: The VM does not exist any more.
        seconds: How long it took.
    """

    vm_id: str = ""
    created: bool = False
    follow: bool = False
    gone: bool = False
    guest: GuestReport | None = None
    note: str = ""
    error: VdlError | None = None
    seconds: float = 0.0


def perform(port: Port, job: Job) -> Report:
    """Carry the job out; a `VdlError` comes back in the report, timed like a success."""
    begun = time.monotonic()
    try:
        report = _CARRY_OUT[job.step](port, job, Deadline.after(job.seconds))
    except (ActionFailed, OutcomeUnknown) as error:
        report = _second_look(port, job, error)
    except VdlError as error:
        report = Report(vm_id=job.vm_id, error=error)
    return replace(report, seconds=time.monotonic() - begun)


def _second_look(port: Port, job: Job, error: ActionFailed | OutcomeUnknown) -> Report:
    """Let the VM decide what came of a call that failed or whose outcome is not known."""
    try:
        vm = port.find_vm(job.uuid)
    except VdlError:
        return Report(vm_id=job.vm_id, error=_explained(error, job, None))
    if reached(job.step, job.action, vm):
        return Report(vm_id=job.vm_id, gone=vm is None, note="was already done")
    vm_id = vm.id if vm and vm.lab == job.plan.lab else job.vm_id
    return Report(vm_id=vm_id, error=_explained(error, job, vm))


def _explained(
    error: ActionFailed | OutcomeUnknown, job: Job, vm: Vm | None
) -> ActionFailed | OutcomeUnknown:
    """Return the error with the machine, its VM, host and cards in it."""
    action = job.action
    cards = ", ".join(
        f"card {card.address}" + (f" ({card.profile})" if card.profile else "")
        for card in action.cards
    )
    place = f" on {', '.join(filter(None, (action.host, cards)))}" if action.host else ""
    question = f"the VM waits for an answer: {vm.question}" if vm and vm.question else None
    why = "; ".join(dict.fromkeys(filter(None, (error.what, error.why, question))))
    vm_id = vm.id if vm else job.vm_id
    subject = f"{action.machine} ({vm_id})" if vm_id else action.machine
    if isinstance(error, OutcomeUnknown):
        what = f"{job.step}{place}: no known outcome after {job.seconds:.0f} s"
        fix = error.fix or f"look at the VM's tasks in vCenter, then {AGAIN}"
        return OutcomeUnknown(what, subject=subject, why=why, fix=fix)
    what = f"{job.step}{place} failed"
    return ActionFailed(what, subject=subject, why=why, fix=error.fix, fault=error.fault)


def _ours(port: Port, job: Job) -> Vm | None:
    """Return the machine's VM, found by instance UUID.

    Raises:
        ActionFailed: The VM with this instance UUID carries no stamps of this machine.
    """
    vm = port.find_vm(job.uuid)
    if vm is not None and (vm.lab, vm.machine) != (job.plan.lab, job.action.machine):
        raise ActionFailed(
            f"{vm.path} has this machine's instance UUID but not its stamps",
            fix="vdl leaves it alone; remove it or give the lab another name",
        )
    return vm


def _clone(port: Port, job: Job, deadline: Deadline) -> Report:
    # The plan was fresh when this run began: a VM that is there now is another run's.
    if vm := _ours(port, job):
        return Report(vm_id=vm.id, follow=True, note="another run has made it meanwhile")
    try:
        return Report(vm_id=port.clone(job.plan, job.action, deadline), created=True)
    except ActionFailed as error:
        vm = _ours(port, job)
        if error.fault in NAME_TAKEN and (vm or _in_the_making(port, job)):
            return Report(vm_id=vm.id if vm else "", follow=True, note="another run is making it")
        if vm is None:
            raise
        return Report(vm_id=vm.id, created=True, error=_explained(error, job, vm))


def _in_the_making(port: Port, job: Job) -> bool:
    """Whether a VM of the machine's name is being cloned, or has just been.

    While vCenter clones a VM it shows the name, but neither instance UUID nor stamps. A
    stranger's finished VM has an instance UUID of its own.
    """
    if job.lab is None:
        return False
    named = (vm for vm in port.snapshot(job.lab).vms if vm.name == job.action.machine)
    return any(vm.instance_uuid in {"", job.uuid} for vm in named)


def _follow(port: Port, job: Job, deadline: Deadline) -> Report:
    """Watch another run make the machine. Its tasks belong to another session, so poll."""
    pause = FIRST_PAUSE
    while (vm := _ours(port, job)) is None or vm.power is not Power.ON:
        if vm is None and not _in_the_making(port, job):
            raise ActionFailed("another run made this machine and removed it again", fix=AGAIN)
        if deadline.passed:
            raise ActionFailed(
                "another run began this machine and did not finish it",
                fix=f"if no other run is at work, {AGAIN}",
            )
        time.sleep(min(pause, deadline.left))
        pause = min(2 * pause, LONGEST_PAUSE)
    return Report(vm_id=vm.id, guest=port.wait_for_guest(vm.id, deadline), note="by another run")


def _shut_down(port: Port, job: Job, deadline: Deadline) -> Report:
    vm = _ours(port, job)
    if vm is None:
        return Report(gone=True, note="is already gone")
    if vm.power is not Power.OFF:
        port.shut_down(vm.id, deadline)
    return Report(vm_id=vm.id)


def _destroy(port: Port, job: Job, deadline: Deadline) -> Report:
    vm = _ours(port, job)
    if vm is None:
        return Report(gone=True, note="is already gone")
    port.destroy(vm.id, deadline)
    return Report(gone=True)


def _guest(port: Port, job: Job, deadline: Deadline) -> Report:
    return Report(vm_id=job.vm_id, guest=port.wait_for_guest(job.vm_id, deadline))


def _prepare_hardware(port: Port, job: Job, deadline: Deadline) -> Report:
    port.prepare_hardware(job.vm_id, job.action, deadline)
    return Report(vm_id=job.vm_id)


def _attach(port: Port, job: Job, deadline: Deadline) -> Report:
    port.attach(job.vm_id, job.action, deadline)
    return Report(vm_id=job.vm_id)


def _reconfigure(port: Port, job: Job, deadline: Deadline) -> Report:
    port.reconfigure(job.vm_id, job.action, deadline)
    return Report(vm_id=job.vm_id)


def _relocate(port: Port, job: Job, deadline: Deadline) -> Report:
    port.relocate(job.vm_id, job.action, deadline)
    return Report(vm_id=job.vm_id)


def _power_on(port: Port, job: Job, deadline: Deadline) -> Report:
    port.power_on(job.vm_id, deadline)
    return Report(vm_id=job.vm_id)


_CARRY_OUT: Mapping[Step, Callable[[Port, Job, Deadline], Report]] = {
    Step.CLONE: _clone,
    Step.FOLLOW: _follow,
    Step.SHUT_DOWN: _shut_down,
    Step.DESTROY: _destroy,
    Step.CLEAN_UP: _destroy,
    Step.GUEST: _guest,
    Step.PREPARE_HARDWARE: _prepare_hardware,
    Step.ATTACH: _attach,
    Step.RECONFIGURE: _reconfigure,
    Step.RELOCATE: _relocate,
    Step.POWER_ON: _power_on,
}
