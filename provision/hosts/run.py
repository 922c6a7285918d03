"""Carries out what a host's plan says, step by step, and says how far it came."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from provision.deadline import Deadline
from provision.errors import Interrupted, NoConnection, PlanBlocked, StalePlan, VdlError
from provision.hosts.differences import differences
from provision.hosts.plan import HostPlan, Step, StepKind, host_plan
from provision.hosts.wish import Wish
from provision.spec.model import Lab
from provision.vsphere.host_port import Claim, HostPort, HostState

AGAIN = "run the same command again: it looks at the host and goes on from there"
# Between two looks at a host that does not show a setting yet.
LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class HostDeadlines:
    """How long each kind of step may take, in seconds."""

    enter_maintenance: float = 3600.0
    settings: float = 120.0
    reboot: float = 300.0
    come_back: float = 1800.0
    verify: float = 120.0
    leave_maintenance: float = 300.0


class Phase(StrEnum):
    """What an event tells of a step."""

    STARTED = "started"
    NOTE = "note"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class HostEvent:
    """Progress of one step."""

    host: str
    step: StepKind
    phase: Phase
    text: str = ""


def _now() -> datetime:
    return datetime.now(UTC)


def _ignore(_: HostEvent) -> None:
    """Let an event go unheard."""


@dataclass(frozen=True, slots=True)
class HostOptions:
    """How to carry a plan out.

    Attributes:
        leave: Leave maintenance mode at the end, whoever entered it.
        stopped: Asked between steps and while waiting for the host; true ends the run.
        now: The time with its zone, for vdl's note on the host.
    """

    deadlines: HostDeadlines = field(default_factory=HostDeadlines)
    leave: bool = False
    on_event: Callable[[HostEvent], None] = _ignore
    stopped: Callable[[], bool] = bool  # bool() is False
    now: Callable[[], datetime] = _now


@dataclass(frozen=True, slots=True)
class HostResult:
    """How far a run came.

    Attributes:
        done: The steps that were carried out.
        left: Those that were not; the first is the one that failed, if one did.
        error: Why not all of them were.
        state: The host as it was seen last.
    """

    host: str
    done: tuple[Step, ...]
    left: tuple[Step, ...]
    state: HostState
    error: VdlError | None = None


def prepare(
    plan: HostPlan, wish: Wish, lab: Lab, port: HostPort, options: HostOptions
) -> HostResult:
    """Carry a plan out, if the host still asks for exactly these steps.

    A failure ends the run and takes nothing back: the host keeps the state that it has, which
    the error describes, and maintenance mode is left only by the step that says so.

    Raises:
        PlanBlocked: Something stands in the way; nothing was changed.
        StalePlan: The host is no longer as the plan was made for; nothing was changed.
    """
    state = port.read(lab, plan.host)
    today = host_plan(state, wish, options.now(), leave=options.leave)
    if today.steps != plan.steps:
        raise StalePlan(
            "the host has changed since the plan was made; nothing was done",
            subject=plan.host,
            fix="run the same command again and look at the new plan",
        )
    if today.blocked:
        raise PlanBlocked("something stands in the way; nothing was done", subject=plan.host)
    return _Run(state, wish, lab, port, options).all(plan.steps)


class _Run:
    """One run over the steps of one host."""

    def __init__(
        self, state: HostState, wish: Wish, lab: Lab, port: HostPort, options: HostOptions
    ) -> None:
        self._state = state
        self._claim = (
            state.claim if state.in_maintenance else replace(state.claim, maintenance=None)
        )
        self._wish = wish
        self._lab = lab
        self._port = port
        self._options = options
        self._limits = options.deadlines

    def all(self, steps: tuple[Step, ...]) -> HostResult:
        """Take the steps one after the other until one fails or the user asks to stop."""
        error: VdlError | None = None
        count = 0
        for step in steps:
            if self._options.stopped():
                error = Interrupted(f"stopped before {step.kind.value}", subject=self._state.name)
            else:
                error = self._one(step)
            if error is not None:
                break
            count += 1
        if steps:
            error = self._look_once_more(error)
        return HostResult(self._state.name, steps[:count], steps[count:], self._state, error)

    def _one(self, step: Step) -> VdlError | None:
        self._tell(step, Phase.STARTED, step.reason)
        try:
            self._take(step)
        except VdlError as error:
            self._tell(step, Phase.FAILED, error.what)
            return error
        self._tell(step, Phase.DONE)
        return None

    def _take(self, step: Step) -> None:
        {
            StepKind.ENTER_MAINTENANCE: self._enter,
            StepKind.SET_PASSTHROUGH: self._passthrough,
            StepKind.SET_LABELS: self._labels,
            StepKind.SET_GRAPHICS: self._graphics,
            StepKind.REBOOT: self._reboot,
            StepKind.WAIT: self._wait,
            StepKind.VERIFY: self._verify,
            StepKind.LEAVE_MAINTENANCE: self._leave,
        }[step.kind](step)

    def _enter(self, step: Step) -> None:
        seconds = self._limits.enter_maintenance
        self._tell(step, Phase.NOTE, f"at most {seconds:.0f} s")
        self._port.enter_maintenance(self._state.id, Deadline.after(seconds))
        # Only now: a note that came first could later be taken for a claim on a maintenance
        # mode that an administrator has entered.
        self._note(replace(self._claim, maintenance=self._options.now()))

    def _passthrough(self, step: Step) -> None:
        self._port.set_passthrough(
            self._state.id,
            step.passthrough,
            Deadline.after(self._limits.settings),
            now=self._state.rebind,
        )

    def _labels(self, step: Step) -> None:
        deadline = Deadline.after(self._limits.settings)
        self._port.set_labels(self._state.id, step.labels, deadline)

    def _graphics(self, step: Step) -> None:
        # First the note: an assignment policy does not show that it waits for a reboot.
        self._note(replace(self._claim, booted=self._state.booted))
        self._port.set_graphics(
            self._state.id, step.graphics, Deadline.after(self._limits.settings)
        )

    def _reboot(self, _: Step) -> None:
        # Remembered for a run that starts while the host is away.
        self._note(replace(self._claim, booted=self._state.booted))
        self._port.reboot(self._state.id, Deadline.after(self._limits.reboot))

    def _wait(self, step: Step) -> None:
        def heard(connection: str) -> None:
            self._tell(step, Phase.NOTE, f"the host is {connection}")

        seconds = self._limits.come_back
        self._tell(step, Phase.NOTE, f"at most {seconds:.0f} s")
        back = self._port.wait_for_return(
            self._state.id,
            self._claim.booted,
            Deadline.after(seconds),
            heard,
            self._options.stopped,
        )
        if not back and self._options.stopped():
            raise Interrupted("stopped while the host reboots", subject=self._state.name, fix=AGAIN)
        if not back:
            raise VdlError(
                f"the host did not come back within {seconds:.0f} s of its reboot",
                subject=self._state.name,
                fix=f"look at the host's console; when it is back, {AGAIN}",
            )
        self._note(replace(self._claim, booted=None))

    def _verify(self, _: Step) -> None:
        deadline = Deadline.after(self._limits.verify)
        while True:
            # A host that has just come back may show its old configuration for a moment.
            self._state = self._port.read(self._lab, self._state.name)
            wrong = differences(self._state, self._wish)
            if not wrong.any:
                return
            if deadline.passed or self._options.stopped():
                break
            time.sleep(min(LOOK_SECONDS, deadline.left))
        raise VdlError(
            "the host does not show what was asked for",
            subject=self._state.name,
            why="; ".join(wrong.words()),
            fix=f"see the host's events in vCenter, then {AGAIN}",
        )

    def _leave(self, _: Step) -> None:
        self._port.leave_maintenance(self._state.id, Deadline.after(self._limits.leave_maintenance))
        self._note(replace(self._claim, maintenance=None))

    def _note(self, claim: Claim) -> None:
        self._port.note(self._state.id, claim, Deadline.after(self._limits.settings))
        self._claim = claim

    def _look_once_more(self, error: VdlError | None) -> VdlError | None:
        """Read the state that the host is left in, and add it to the error."""
        try:
            self._state = self._port.read(self._lab, self._state.name)
        except NoConnection as lost:
            return error or lost
        if error is None or isinstance(error, NoConnection):
            return error
        kind = Interrupted if isinstance(error, Interrupted) else VdlError
        return kind(
            error.what,
            subject=error.subject or self._state.name,
            why="; ".join(filter(None, (error.why, condition(self._state)))),
            fix=error.fix or AGAIN,
        )

    def _tell(self, step: Step, phase: Phase, text: str = "") -> None:
        self._options.on_event(HostEvent(self._state.name, step.kind, phase, text))


def condition(state: HostState) -> str:
    """Say in one line what state a host is in."""
    parts = [f"{state.name} is {state.connection.value}"]
    if state.in_maintenance:
        by = "entered by vdl" if state.claim.maintenance else "not known to be entered by vdl"
        parts.append(f"in maintenance mode ({by}), and stays so")
    waiting = [gpu.address for gpu in state.gpus if gpu.enabled is not gpu.active]
    if waiting:
        parts.append(f"passthrough of {', '.join(waiting)} waits for a reboot")
    return ", ".join(parts)
