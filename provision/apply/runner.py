"""Carries a plan out: every machine at its own pace, so many steps at a time.

One thread, the caller's, decides and remembers everything; workers carry out single steps.
So nothing here needs a lock, and events arrive in the caller's thread.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from queue import Empty, SimpleQueue

from provision.apply.again import PAUSE_SECONDS, Resting, worth_a_second_attempt
from provision.apply.course import Course
from provision.apply.deadlines import Deadlines
from provision.apply.events import Event, Phase
from provision.apply.freshness import Replan, check_fresh
from provision.apply.interrupt import StopRequest
from provision.apply.pipeline import ON_FAILURE, REMOVAL, WAITS, Leftover, Step
from provision.apply.ready import PER_DATASTORE, PER_HOST, Ready, places_of
from provision.apply.result import Outcome, Result
from provision.apply.steps import Job, Report, TaskBegun, perform
from provision.apply.turnstile import Turnstile
from provision.apply.workers import Workers
from provision.errors import VdlError
from provision.plan.model import Plan
from provision.spec.model import Lab
from provision.vsphere.operation import operation
from provision.vsphere.port import ActionFailed, OutcomeUnknown, Port

OnEvent = Callable[[Event], None]
Answer = Report | TaskBegun | BaseException

# What a stop may leave a machine as.
LEFT = frozenset({Outcome.STOPPED, Outcome.NOT_STARTED, Outcome.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Options:
    """How to run.

    Attributes:
        parallel: How many steps may run at a time, all in all.
        per_host: How many of them on one host; see `provision.apply.ready` for the limits.
        per_datastore: How many clones at a time on one datastore.
        pause: Seconds before the second attempt of a step whose fault may pass.
        on_event: Called in the caller's thread for each thing that people want to see.
        journal: Called in the caller's thread for that and for each task of vCenter.
        keep_failed: Leave what a failed create made, for a look.
        stop: Asks the run to end early.
    """

    parallel: int = 8
    per_host: int = PER_HOST
    per_datastore: int = PER_DATASTORE
    pause: float = PAUSE_SECONDS
    deadlines: Deadlines = field(default_factory=Deadlines)
    on_event: OnEvent = lambda _event: None
    journal: OnEvent = lambda _event: None
    keep_failed: bool = False
    stop: StopRequest = field(default_factory=StopRequest)


def apply(
    plan: Plan,
    port: Port,
    *,
    lab: Lab,
    replan: Replan,
    options: Options | None = None,
) -> Result:
    """Carry the plan out, unless the world has changed since it was made.

    Args:
        plan: What was shown and agreed to.
        port: The vCenter.
        lab: The lab that the plan is of.
        replan: Computes the plan of a lab from a snapshot: it must give the same plan again.
        options: How to run.

    Raises:
        PlanBlocked: The plan has error findings; nothing was changed.
        StalePlan: The world is another one; nothing was changed.
        NoConnection: vCenter could not be read; nothing was changed.
    """
    fresh, snapshot = check_fresh(plan, lab, port, replan)
    uuid = snapshot.vcenter.instance_uuid
    return Runner(fresh, port, uuid, options or Options(), lab=lab).run()


class Runner:
    """One run of a plan that is known to be fresh."""

    def __init__(
        self,
        plan: Plan,
        port: Port,
        vcenter_uuid: str,
        options: Options,
        *,
        lab: Lab | None = None,
    ) -> None:
        self._plan, self._port, self._options, self._lab = plan, port, options, lab
        self._courses = {a.machine: Course.of(plan, a, vcenter_uuid) for a in plan.actions}
        self._turnstile = Turnstile(plan.actions)
        # Who gives cards back goes first; then who comes first in the plan, so that what has
        # been begun is finished before more is begun.
        self._rank = {
            machine: (not self._turnstile.holds(machine), index)
            for index, machine in enumerate(self._courses)
        }
        self._ready = Ready(options.per_host, options.per_datastore)
        self._resting = Resting(options.pause)
        for action in plan.pending:
            self._make_ready(action.machine)
        self._running: dict[str, Step] = {}
        self._inbox: SimpleQueue[tuple[Job, Answer] | None] = SimpleQueue()
        self._operations = (f"vdl-{secrets.token_hex(4)}-{number}" for number in count(1))
        self._halted_by: VdlError | None = None
        self._crash: BaseException | None = None

    def run(self) -> Result:
        """Carry out everything that can be, and say what came of each machine."""
        stop = self._options.stop
        number = max(1, min(self._options.parallel, len(self._ready)))
        with stop.listening(lambda: self._inbox.put(None)):
            workers = Workers(number, self._perform, self._answered)
            try:
                self._dispatch(workers)
                while self._awaits():
                    self._take(self._next_message())
                    self._dispatch(workers)
            finally:
                workers.close()
        if self._crash is not None:
            raise self._crash
        return self._result()

    def _perform(self, job: Job) -> Report:
        with operation(job.operation, lambda task: self._answered(job, TaskBegun(task))):
            return perform(self._port, job)

    def _answered(self, job: Job, answer: Answer) -> None:
        self._inbox.put((job, answer))

    def _next_message(self) -> tuple[Job, Answer] | None:
        """Return what comes next; None for a wake-up, or when a machine has rested enough."""
        try:
            return self._inbox.get(timeout=self._resting.left())
        except Empty:
            return None

    @property
    def _ending(self) -> bool:
        """Whether no new step may start."""
        halted = self._halted_by is not None or self._crash is not None
        return halted or self._options.stop.asked

    def _awaits(self) -> bool:
        """Whether a running step must still be waited for."""
        if self._options.stop.at_once:
            return False
        if self._ending:
            return any(step not in WAITS for step in self._running.values())
        return bool(self._running or self._resting)

    def _dispatch(self, workers: Workers[Job, Report]) -> None:
        self._release(self._resting.take_due())
        while len(self._running) < self._options.parallel and not self._ending:
            machine = self._ready.pop()
            if machine is None:
                return
            self._begin(self._courses[machine], workers)

    def _begin(self, course: Course, workers: Workers[Job, Report]) -> None:
        machine, step = course.action.machine, course.steps[0]
        seconds = self._options.deadlines.of(step)
        job = course.job(self._plan, self._lab, seconds, next(self._operations))
        blocker = self._turnstile.blocker(machine) if step is Step.POWER_ON else None
        if blocker is not None:
            self._turnstile.park(machine)
            self._tell(job, Phase.NOTE, message=f"waits for {blocker}")
            return
        course.start()
        self._running[machine] = step
        self._ready.begin(places_of(course.action, step))
        self._tell(job, Phase.STARTED)
        workers.submit(job)

    def _take(self, message: tuple[Job, Answer] | None) -> None:
        if message is None:  # only a wake-up
            return
        job, answer = message
        if isinstance(answer, TaskBegun):
            self._tell(job, Phase.TASK, task_id=answer.task_id)
            return
        del self._running[job.action.machine]
        self._ready.end(places_of(job.action, job.step))
        if isinstance(answer, BaseException):
            self._crash = answer
        elif answer.error is not None:
            self._failed(job, answer, answer.error)
        else:
            self._went_well(job, answer)

    def _went_well(self, job: Job, report: Report) -> None:
        machine, step = job.action.machine, job.step
        course = self._courses[machine]
        course.advance(report)
        self._tell(job, Phase.DONE, message=report.note, seconds=report.seconds)
        if step in REMOVAL:
            self._release(self._turnstile.gave_back(machine))
        if step in (Step.POWER_ON, Step.FOLLOW):
            self._release(self._turnstile.passed(machine))
        if course.steps:
            self._make_ready(machine)
        else:
            self._end(course, Outcome.DONE if course.error is None else Outcome.FAILED)

    def _failed(self, job: Job, report: Report, error: VdlError) -> None:
        machine, step = job.action.machine, job.step
        course = self._courses[machine]
        course.vm_id = report.vm_id or course.vm_id
        course.created = course.created or report.created
        self._tell(job, Phase.FAILED, message=error.text(), seconds=report.seconds)
        if worth_a_second_attempt(step, report) and not self._ending and course.rest(error):
            self._resting.add(machine)
            self._tell(job, Phase.NOTE, message=f"tries again in {self._options.pause:g} s")
            return
        if step is Step.CLEAN_UP:
            course.clean_up_error = error
            self._end(course, Outcome.FAILED)
            return
        course.error = error
        if isinstance(error, ActionFailed):
            self._leave_or_remove(course, step)
            return
        if not isinstance(error, OutcomeUnknown):
            self._halted_by = error
        self._end(course, Outcome.UNKNOWN)

    def _leave_or_remove(self, course: Course, step: Step) -> None:
        remove = course.created and ON_FAILURE[step] is Leftover.REMOVE
        if not remove or self._options.keep_failed or self._ending:
            self._end(course, Outcome.FAILED)
            return
        course.steps.clear()
        course.steps.append(Step.CLEAN_UP)
        self._make_ready(course.action.machine)
        self._release(self._turnstile.passed(course.action.machine))

    def _end(self, course: Course, outcome: Outcome) -> None:
        course.end(outcome)
        self._release(self._turnstile.passed(course.action.machine))

    def _release(self, machines: Iterable[str]) -> None:
        for machine in machines:
            self._make_ready(machine)

    def _make_ready(self, machine: str) -> None:
        course = self._courses[machine]
        self._ready.add(machine, self._rank[machine], places_of(course.action, course.steps[0]))

    def _tell(
        self,
        job: Job,
        phase: Phase,
        *,
        message: str = "",
        seconds: float = 0.0,
        task_id: str = "",
    ) -> None:
        machine, step = job.action.machine, job.step
        vm_id = self._courses[machine].vm_id
        event = Event(machine, step, phase, seconds, message, vm_id, task_id, job.operation)
        self._options.journal(event)
        if phase is not Phase.TASK:
            self._options.on_event(event)

    def _result(self) -> Result:
        for machine, step in self._running.items():
            if step not in WAITS:  # the user did not want to wait for what is still running
                self._courses[machine].end(Outcome.UNKNOWN)
        machines = tuple(course.result() for course in self._courses.values())
        interrupted = self._options.stop.asked and any(m.outcome in LEFT for m in machines)
        return Result(self._plan.lab, machines, interrupted, self._halted_by)
