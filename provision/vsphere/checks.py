"""What vCenter itself says of machines that are to be made or started, before anything changes.

Of new machines, `CheckClone_Task` runs vCenter's checks of the clone call, `CheckVmConfig_Task`
those of a VM with GPUs on a host, and `PlaceVm` asks DRS whether it would put the machine there.
Of VMs that are off and are to be started, `CheckPowerOn_Task` says whether that would work, and
`CheckVmConfig_Task` whether the change would that comes first. All are asked with what vdl would
send, once for each shape of machine and host. They change nothing, and they know things that no
snapshot shows. Where vCenter can't or may not answer, the plan stands without, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim, vmodl

from provision.deadline import Deadline
from provision.plan.model import Action, ActionKind, Finding, Plan, Severity
from provision.plan.names import listed
from provision.plan.snapshot import Power, Snapshot
from provision.spec.model import Lab
from provision.vsphere.collector import Collector
from provision.vsphere.facts import Facts
from provision.vsphere.faults import describe, fix_for
from provision.vsphere.questions import Question, Questions
from provision.vsphere.retry import within
from provision.vsphere.session import Session
from provision.vsphere.tls import ResponseLost
from provision.vsphere.waiter import Waiter

CODE = "vcenter-check"
# `vdl plan` stays a matter of seconds: so long may all checks take, so many run at once, and
# about so many pairs of shape and host vCenter is asked.
SECONDS = 20.0
AT_ONCE = 8
MOST = 64
# A check that answers this has not understood the question: it says nothing of the machine.
NO_ANSWER = (vmodl.fault.NotSupported, vmodl.fault.NotImplemented, vmodl.fault.InvalidRequest)


@dataclass(frozen=True, slots=True)
class Shape:
    """Machines that differ in nothing but their names, on one host."""

    actions: tuple[Action, ...]

    @property
    def first(self) -> Action:
        """The machine that is asked about."""
        return self.actions[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """One thing that a check said of a shape; without a severity it could not be asked."""

    shape: Shape
    check: str
    text: str
    fix: str = ""
    severity: Severity | None = None


def shapes(plan: Plan) -> tuple[Shape, ...]:
    """Return what has to be asked about: new machines, alike ones together, and VMs to start."""
    alike: dict[tuple[Any, ...], list[Action]] = {}
    for action in plan.actions:
        if action.spec is None or not action.host_id:
            continue
        if action.kind is ActionKind.CREATE:
            spec = action.spec
            settings = tuple(sorted(action.settings.items()))
            size = (spec.cpus, spec.memory, spec.disk, repr(spec.gpu))
            alike.setdefault((action.host_id, *size, settings), []).append(action)
        elif action.kind is ActionKind.UPDATE and action.vm and action.vm.power is Power.OFF:
            alike[action.machine,] = [action]
    return tuple(Shape(tuple(actions)) for actions in alike.values())


def _frees(action: Action) -> bool:
    """Whether a machine gives something back before it, or others, get what is planned."""
    gone = action.kind in {ActionKind.REPLACE, ActionKind.DESTROY}
    on = action.vm is not None and action.vm.power is not Power.OFF
    return gone or (action.kind is ActionKind.UPDATE and action.restart and on)


class Checks:
    """Asks vCenter about the machines of one plan that are to be made or started."""

    def __init__(self, session: Session, collector: Collector, waiter: Waiter) -> None:
        self._session = session
        self._collector = collector
        self._waiter = waiter
        self._facts = Facts(session, collector)

    def checked(self, plan: Plan, lab: Lab, world: Snapshot) -> Plan:
        """Return the plan with vCenter's answers as findings; one that is blocked, as it is.

        Raises:
            NoConnection: vCenter refused the session or stayed away.
        """
        every = shapes(plan)
        if plan.blocked or not every:
            return plan
        content = self._session.content
        if content.vmProvisioningChecker is None and content.vmCompatibilityChecker is None:
            return plan.with_findings([_no_checks(world)])
        deadline = Deadline.after(SECONDS)
        with within(deadline):
            questions = Questions(self._session, self._collector, self._facts, plan, lab, world)
            with ThreadPoolExecutor(AT_ONCE) as pool:
                # Threads do not inherit the deadline by themselves.
                asked = [
                    pool.submit(copy_context().run, self._ask, shape, questions, deadline)
                    for shape in every[:MOST]
                ]
                answers = [answer for future in asked for answer in future.result()]
        return plan.with_findings(findings(plan, answers, world.vcenter.name, len(every)))

    def _ask(self, shape: Shape, questions: Questions, deadline: Deadline) -> list[Answer]:
        return [
            answer
            for question in questions.of(shape.first)
            for answer in self._answers(shape, question, deadline)
        ]

    def _answers(self, shape: Shape, question: Question, deadline: Deadline) -> Iterator[Answer]:
        check = question.check
        try:
            sent = question.send()
            if isinstance(sent, vim.cluster.PlacementResult):
                yield from _placed(shape, check, sent)
                return
            end = self._waiter.wait_task(sent, deadline)
        except vmodl.MethodFault as fault:
            yield Answer(shape, check, describe(fault))
            return
        except ResponseLost as error:
            yield Answer(shape, check, str(error))
            return
        if end is None or end.state == "gone":
            yield Answer(shape, check, "there was no answer in time")
        elif end.fault is not None:
            yield Answer(shape, check, describe(end.fault))
        else:
            for result in end.result or ():
                yield from _said(shape, check, result.error, Severity.ERROR)
                yield from _said(shape, check, result.warning, Severity.WARNING)


def _said(
    shape: Shape, check: str, faults: Iterable[Any] | None, severity: Severity
) -> Iterator[Answer]:
    for fault in faults or ():
        understood = None if isinstance(fault, NO_ANSWER) else severity
        yield Answer(shape, check, describe(fault), fix_for(fault), understood)


def _placed(shape: Shape, check: str, result: Any) -> Iterator[Answer]:
    """Yield why DRS would not put a machine on its host; nothing where it would.

    A second opinion, hence a warning: DRS also weighs load, which decides nothing here.
    """
    if result.recommendations:
        return
    faults = result.drsFault.faultsByVm if result.drsFault else ()
    said = [describe(fault) for one in faults or () for fault in one.fault or ()]
    text = f"DRS would not put it there: {'; '.join(dict.fromkeys(said)) or 'no reason given'}"
    yield Answer(shape, check, text, "look at the host in vCenter, or go on", Severity.WARNING)


def _no_checks(world: Snapshot) -> Finding:
    message = "vCenter has no checks of its own for machines"
    fix = "go on: what it refuses will show when the plan is carried out"
    return Finding(Severity.WARNING, CODE, world.vcenter.name, message, fix)


def findings(
    plan: Plan, answers: Iterable[Answer], vcenter: str, asked_about: int
) -> Iterator[Finding]:
    """Yield one finding for each thing that was said, however many hosts said it.

    An error is shown as a warning where the plan frees something first: vCenter speaks of the
    world as it is now.
    """
    frees = any(map(_frees, plan.actions))
    alike: dict[tuple[Severity | None, str, str, str], list[Shape]] = {}
    for answer in answers:
        key = (answer.severity, answer.check, answer.text, answer.fix)
        alike.setdefault(key, []).append(answer.shape)
    for (severity, check, text, fix), same in alike.items():
        hosts = listed(sorted({shape.first.host or "" for shape in same}))
        if severity is None:
            message = f"{check} could not tell of machines on {hosts}: {text}"
            go_on = "go on: what vCenter refuses will show when the plan is carried out"
            yield Finding(Severity.WARNING, CODE, vcenter, message, go_on)
            continue
        names = {action.machine for shape in same for action in shape.actions}
        machines = listed(a.machine for a in plan.actions if a.machine in names)
        message = f"{check} on {hosts}: {text}"
        if frees and severity is Severity.ERROR:
            message = f"{message} (as things are before this plan)"
            yield Finding(Severity.WARNING, CODE, machines, message, fix)
        else:
            yield Finding(severity, CODE, machines, message, fix)
    if asked_about > MOST:
        message = f"asked about {MOST} of {asked_about} kinds of machine and host"
        yield Finding(Severity.WARNING, CODE, vcenter, message, "go on: these are alike in most")
