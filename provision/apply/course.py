"""One machine's way through its steps, as far as this run has brought it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from provision.apply.pipeline import Step, steps_of
from provision.apply.result import SUCCESS, MachineResult, Outcome
from provision.apply.steps import Job, Report
from provision.errors import VdlError
from provision.plan.identity import instance_uuid
from provision.plan.model import Action, ActionKind, Plan
from provision.spec.model import Lab
from provision.vsphere.port import GuestReport


@dataclass(slots=True)
class Course:
    """What the runner knows of one machine. Only the runner's own thread touches it."""

    action: Action
    uuid: str
    steps: deque[Step]
    vm_id: str = ""
    created: bool = False
    outcome: Outcome | None = None
    stands_at: Step | None = None
    error: VdlError | None = None
    clean_up_error: VdlError | None = None
    guest: GuestReport | None = None
    notes: list[str] = field(default_factory=list)
    attempted: set[Step] = field(default_factory=set)
    begun: float | None = None
    ended: float | None = None

    @classmethod
    def of(cls, plan: Plan, action: Action, vcenter_uuid: str) -> Course:
        """Return the course of an action at its start."""
        vm = action.vm
        uuid = vm.instance_uuid if vm else instance_uuid(vcenter_uuid, plan.lab, action.machine)
        course = cls(action, uuid, deque(steps_of(action)), vm_id=vm.id if vm else "")
        if action.kind is ActionKind.NONE:
            course.outcome = Outcome.UNCHANGED
        return course

    def job(self, plan: Plan, lab: Lab | None, seconds: float, operation: str) -> Job:
        """Return the next step as a job."""
        step = self.steps[0]
        return Job(lab, plan, self.action, step, self.uuid, self.vm_id, seconds, operation)

    def start(self) -> None:
        """Record that the next step is under way."""
        self.begun = self.begun or time.monotonic()
        if self.steps[0] is not Step.CLEAN_UP:  # what failed before it is what people ask for
            self.stands_at = self.steps[0]

    def rest(self, error: VdlError) -> bool:
        """Record a failure that may pass; False where the step has had its second attempt."""
        step = self.steps[0]
        if step in self.attempted:
            return False
        self.attempted.add(step)
        if step is not Step.CLEAN_UP:  # what made it necessary is what people ask for
            self.error = error
        return True

    def advance(self, report: Report) -> None:
        """Record a step that went well and drop it from what is left to do."""
        step = self.steps.popleft()
        if step in self.attempted:
            self.notes.append(f"{step} succeeded at the second attempt")
            self.error = self.error if step is Step.CLEAN_UP else None
        if report.note:
            self.notes.append(report.note)
        if report.follow:
            self.steps = deque([Step.FOLLOW])
        if report.gone:
            self.steps = deque(s for s in self.steps if s is not Step.DESTROY)
        self.vm_id = "" if report.gone else report.vm_id
        self.created = self.created or report.created
        self.guest = report.guest or self.guest

    def end(self, outcome: Outcome) -> None:
        """Record how it came out."""
        self.outcome, self.ended = outcome, time.monotonic()
        self.steps.clear()

    def result(self) -> MachineResult:
        """Return what is known of the machine now."""
        return MachineResult(
            machine=self.action.machine,
            kind=self.action.kind,
            outcome=self.outcome or self._left_at(),
            step=None if self.outcome in SUCCESS else self._step(),
            error=self.error,
            clean_up_error=self.clean_up_error,
            vm_id=self.vm_id or None,
            host=self.action.host,
            address=next(iter(self._addresses()), None),
            host_keys=self.guest.host_keys if self.guest else (),
            ssh_port=self.guest.ssh_port if self.guest else 22,
            note="; ".join(self.notes),
            seconds=(self.ended or time.monotonic()) - self.begun if self.begun else 0.0,
        )

    def _left_at(self) -> Outcome:
        if self.error is not None:
            return Outcome.FAILED
        return Outcome.STOPPED if self.begun else Outcome.NOT_STARTED

    def _step(self) -> Step | None:
        if self.error is None and self.steps:
            return self.steps[0]
        return self.stands_at

    def _addresses(self) -> tuple[str, ...]:
        if self.guest:
            return self.guest.addresses
        unchanged = self.outcome is Outcome.UNCHANGED and self.action.vm is not None
        return self.action.vm.addresses if unchanged and self.action.vm else ()
