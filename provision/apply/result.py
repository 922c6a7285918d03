"""What came of an apply, machine by machine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from provision.apply.pipeline import Step
from provision.errors import Interrupted, PartlyDone, VdlError
from provision.plan.model import ActionKind


class Outcome(StrEnum):
    """Where a machine stands. Only `done` and `unchanged` are success."""

    DONE = "done"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    UNKNOWN = "unknown"
    STOPPED = "stopped"
    NOT_STARTED = "not-started"


@dataclass(frozen=True, slots=True)
class MachineResult:
    """What came of one machine.

    Attributes:
        step: The step that it stands at: the one that failed, whose outcome is unknown, or
            that was not begun (or not waited for) when the run was stopped.
        error: Why it failed.
        clean_up_error: Why the VM that a failed create left behind could not be removed.
        vm_id: The VM as it is now; None where there is none.
        note: Something about its course that is no error.
        seconds: From its first step to its last.
    """

    machine: str
    kind: ActionKind
    outcome: Outcome
    step: Step | None = None
    error: VdlError | None = None
    clean_up_error: VdlError | None = None
    vm_id: str | None = None
    host: str | None = None
    address: str | None = None
    host_keys: tuple[str, ...] = ()
    ssh_port: int = 22
    note: str = ""
    seconds: float = 0.0


SUCCESS = frozenset({Outcome.DONE, Outcome.UNCHANGED})


@dataclass(frozen=True, slots=True)
class Result:
    """What came of the whole run, in the order of the plan.

    Attributes:
        interrupted: The user asked to stop before everything was done.
        halted_by: What ended the run for all machines, such as a refused login.
    """

    lab: str
    machines: tuple[MachineResult, ...]
    interrupted: bool = False
    halted_by: VdlError | None = None

    @property
    def ok(self) -> bool:
        """Whether every machine is as the plan wants it."""
        return not self.unsuccessful

    @property
    def partial(self) -> bool:
        """Whether something was done, but not everything."""
        return not self.ok and self.count(Outcome.DONE) > 0

    @property
    def failed(self) -> bool:
        """Whether nothing was done although something should have been."""
        return not self.ok and self.count(Outcome.DONE) == 0

    @property
    def unsuccessful(self) -> tuple[MachineResult, ...]:
        """The machines that are not as the plan wants them."""
        return tuple(m for m in self.machines if m.outcome not in SUCCESS)

    def count(self, outcome: Outcome) -> int:
        """Return how many machines have this outcome."""
        return sum(m.outcome is outcome for m in self.machines)

    def error(self) -> VdlError | None:
        """Return what the exit code follows from; None where all is well.

        An interruption outranks what halted the run, and that outranks single machines.
        """
        if self.ok:
            return None
        summary = self._summary()
        if self.interrupted:
            return Interrupted(summary, subject=self.lab, fix="run the same command to go on")
        if self.halted_by is not None:
            return self.halted_by
        kind = PartlyDone if self.partial else VdlError
        return kind(
            summary,
            subject=self.lab,
            why="; ".join(f"{m.machine} ({m.step})" for m in self.unsuccessful[:10]),
            fix="the errors above say what to do; then run the same command to go on",
        )

    def _summary(self) -> str:
        counts = ((outcome, self.count(outcome)) for outcome in Outcome)
        return ", ".join(f"{number} {outcome}" for outcome, number in counts if number)
