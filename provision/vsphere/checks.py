"""What vCenter itself says of machines that are to be made, before anything changes.

`CheckClone_Task` runs vCenter's checks of the clone call, `CheckVmConfig_Task` those of a VM with
GPUs on a host. Both are asked with what vdl would send, once for each shape of machine and host.
They change nothing, and they know things that no snapshot shows. Where vCenter can't or may not
answer, the plan stands without, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim, vmodl

from provision.deadline import Deadline
from provision.plan.identity import instance_uuid
from provision.plan.model import Action, ActionKind, Finding, Plan, Severity
from provision.plan.names import listed
from provision.plan.snapshot import Snapshot
from provision.spec.model import GroupRequest, Lab
from provision.vsphere import configspec
from provision.vsphere.collector import Collector
from provision.vsphere.facts import Facts
from provision.vsphere.faults import describe, fix_for
from provision.vsphere.gpuspec import CardFacts, gpu_changes
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
FREEING = frozenset({ActionKind.UPDATE, ActionKind.REPLACE, ActionKind.DESTROY})


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
    """Return the new machines of a plan that have a host, alike ones together."""
    alike: dict[tuple[Any, ...], list[Action]] = {}
    for action in plan.actions:
        if action.kind is not ActionKind.CREATE or action.spec is None or not action.host_id:
            continue
        spec = action.spec
        settings = tuple(sorted(action.settings.items()))
        size = (spec.cpus, spec.memory, spec.disk, repr(spec.gpu))
        alike.setdefault((action.host_id, *size, settings), []).append(action)
    return tuple(Shape(tuple(actions)) for actions in alike.values())


class Checks:
    """Asks vCenter about the new machines of one plan."""

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
            questions = _Questions(self._session, self._collector, self._facts, plan, lab, world)
            with ThreadPoolExecutor(AT_ONCE) as pool:
                # Threads do not inherit the deadline by themselves.
                asked = [
                    pool.submit(copy_context().run, self._ask, shape, questions, deadline)
                    for shape in every[:MOST]
                ]
                answers = [answer for future in asked for answer in future.result()]
        return plan.with_findings(findings(plan, answers, world.vcenter.name, len(every)))

    def _ask(self, shape: Shape, questions: _Questions, deadline: Deadline) -> list[Answer]:
        return [
            answer
            for check, send in questions.of(shape)
            for answer in self._answers(shape, check, send, deadline)
        ]

    def _answers(
        self, shape: Shape, check: str, send: Callable[[], Any], deadline: Deadline
    ) -> Iterator[Answer]:
        try:
            end = self._waiter.wait_task(send(), deadline)
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


class _Questions:
    """What is sent to the checks: what making the machine would send."""

    def __init__(
        self,
        session: Session,
        collector: Collector,
        facts: Facts,
        plan: Plan,
        lab: Lab,
        world: Snapshot,
    ) -> None:
        self._session, self._facts = session, facts
        self._lab, self._world = lab, world
        self._template = session.ref(vim.VirtualMachine, plan.template_id or "")
        self._now = facts.config(self._template)
        self._network = facts.network_backing(plan.network_id or "")
        self._cards = CardFacts.of(world)
        self._folder = _folder(session, collector, world)

    def of(self, shape: Shape) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Yield the name of each check, and what sends it."""
        action, content = shape.first, self._session.content
        if (cloning := content.vmProvisioningChecker) is not None:
            spec = self._clone_spec(action)
            yield (
                "CheckClone",
                lambda: cloning.CheckClone_Task(
                    vm=self._template, folder=self._folder, name=action.machine, spec=spec
                ),
            )
        compatibility = content.vmCompatibilityChecker
        if compatibility is not None and configspec.spec_of(action).gpu is not None:
            host = self._session.ref(vim.HostSystem, action.host_id or "")
            config = self._config_spec(action)
            yield (
                "CheckVmConfig",
                lambda: compatibility.CheckVmConfig_Task(spec=config, vm=self._template, host=host),
            )

    def _clone_spec(self, action: Action) -> Any:
        ref, world = self._session.ref, self._world
        place = configspec.Place(
            pool=ref(vim.ResourcePool, world.resource_pool_id or ""),
            host=ref(vim.HostSystem, action.host_id or ""),
            datastore=ref(vim.Datastore, action.datastore_id or ""),
        )
        uuid = instance_uuid(world.vcenter.instance_uuid, self._lab.lab, action.machine)
        return configspec.clone_spec(action, uuid, place, self._now, self._network)

    def _config_spec(self, action: Action) -> Any:
        """Return the configuration of the finished machine, GPUs included."""
        machine = configspec.spec_of(action)
        members: tuple[Any, ...] = ()
        if isinstance(machine.gpu, GroupRequest):
            host = action.host_id or ""
            members = tuple(self._facts.group_members(machine.gpu.group, self._template, host))
        changes, groups = gpu_changes(machine, action, self._now, self._cards, members)
        config = self._clone_spec(action).config
        grown = configspec.disk_change(machine, self._now.devices)
        config.deviceChange = [*config.deviceChange, *grown, *changes]
        config.deviceGroups = groups
        return config


def _no_checks(world: Snapshot) -> Finding:
    message = "vCenter has no checks of its own for new machines"
    fix = "go on: what it refuses will show when the plan is carried out"
    return Finding(Severity.WARNING, CODE, world.vcenter.name, message, fix)


def _folder(session: Session, collector: Collector, world: Snapshot) -> Any:
    """Return the folder that new VMs go to; where it is not made yet, the one above."""
    if world.vm_folder_id is not None:
        return session.ref(vim.Folder, world.vm_folder_id)
    datacenter = session.ref(vim.Datacenter, world.datacenter_id or "")
    found = collector.one(datacenter, ["vmFolder"])
    return found.get("vmFolder") if found else None


def findings(
    plan: Plan, answers: Iterable[Answer], vcenter: str, asked_about: int
) -> Iterator[Finding]:
    """Yield one finding for each thing that was said, however many hosts said it.

    An error is shown as a warning where the plan frees something first: vCenter speaks of the
    world as it is now.
    """
    frees = any(action.kind in FREEING for action in plan.actions)
    alike: dict[tuple[Severity | None, str, str, str], list[Shape]] = {}
    for answer in answers:
        key = (answer.severity, answer.check, answer.text, answer.fix)
        alike.setdefault(key, []).append(answer.shape)
    for (severity, check, text, fix), same in alike.items():
        hosts = listed(sorted({shape.first.host or "" for shape in same}))
        if severity is None:
            message = f"{check} could not tell of new machines on {hosts}: {text}"
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
