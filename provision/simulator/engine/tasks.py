"""Tasks: work that a method starts and that ends later, in success or with a fault."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pyVmomi import VmomiSupport, vim, vmodl

from provision.simulator.engine.faultplan import make_fault
from provision.simulator.engine.objects import SimObject, method, prop

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.engine.world import World

# As many as vCenter keeps in TaskManager.recentTask (vSphere API reference).
_RECENT = 200

_PROGRESS_STEPS = 4
_SHORTEST_WITH_PROGRESS = 0.4


def _nothing() -> None:
    """Stand in for a step that a task has no need of."""


class NotYet(Exception):
    """Raised by the work of a task that waits for something: asked again after `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"not yet; again in {seconds} s")


class SimTask(SimObject):
    """One task, from its start until its retention time is over."""

    wsdl_type = vim.Task
    prefix = "task"

    def __init__(self, world: World, target: SimObject, name: str, user: str) -> None:
        super().__init__(world)
        self.target = target
        self.work: Callable[[], Any] = _nothing
        self.undo: Callable[[], None] = _nothing
        self.duration = 0.0
        self._begun = world.clock.monotonic()
        managed = VmomiSupport.GetWsdlMethod("urn:vim25", name)
        verb = VmomiSupport.Uncapitalize(managed.info.name)
        self._info = vim.TaskInfo(
            key=self.moid,
            task=self.ref,
            name=managed,
            descriptionId=f"{VmomiSupport.GetWsdlName(target.wsdl_type)}.{verb}",
            state="running",
            cancelled=False,
            cancelable=False,
            reason=vim.TaskReasonUser(userName=user),
            queueTime=world.clock.now(),
            startTime=world.clock.now(),
            eventChainId=world.tasks.next_chain(),
        )
        if issubclass(target.wsdl_type, vim.ManagedEntity):
            self._info.entity = target.ref
            self._info.entityName = target.read("name")

    @prop("info")
    def info(self) -> Any:
        """Everything about the task, with the progress of this moment."""
        if self._info.state == "running":
            elapsed = self.world.clock.monotonic() - self._begun
            share = elapsed / self.duration if self.duration else 0.0
            self._info.progress = min(99, int(100 * share))
        return self._info

    @property
    def running(self) -> bool:
        """Whether the task has not ended yet."""
        return bool(self._info.state == "running")

    @method("CancelTask")
    def cancel(self, _: Call) -> None:
        """End a task that can be cancelled."""
        if not self.running:
            raise vim.fault.InvalidState(msg=f"{self.moid} has ended already")
        if not self._info.cancelable:
            raise vmodl.fault.NotSupported(msg=f"{self._info.descriptionId} can't be cancelled")
        self._info.cancelled = True
        self.fail(vmodl.fault.RequestCanceled(msg="The task was cancelled by a user"))

    def allow_cancel(self) -> None:
        """Let `CancelTask` end the task."""
        self._info.cancelable = True

    def finish(self) -> None:
        """Do the work and end the task, unless it was cancelled meanwhile."""
        if not self.running:
            return
        fault: Any = vmodl.fault.SystemError(reason="simulator", msg="The simulator has a bug")
        again: float | None = None
        try:
            self._info.result = self.work()
            fault = None
        except NotYet as waits:
            again = waits.seconds
        except vmodl.MethodFault as raised:
            fault = raised
        finally:
            # A bug in the simulator still ends the task: nobody shall wait for ever.
            if again is not None:
                self.world.later(again, self.finish)
            elif fault is None:
                self._end("success")
            else:
                self.fail(fault)

    def fail(self, fault: Any) -> None:
        """End the task with a fault and take back what it has begun, unless it has ended."""
        if not self.running:
            return
        self._info.error = fault
        self.undo()
        self._end("error")

    def _end(self, state: str) -> None:
        self._info.state = vim.TaskInfo.State(state)
        self._info.progress = None
        self._info.completeTime = self.world.clock.now()
        self.touch()
        self.world.tasks.ended(self)


class Tasks:
    """All tasks of a world. The caller holds the world's lock.

    Attributes:
        observers: Told of each task that has ended.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._chains = itertools.count(1)
        self.observers: list[Callable[[SimTask], None]] = []
        self._all: dict[str, SimTask] = {}
        self._by_target: dict[str, list[SimTask]] = {}

    def next_chain(self) -> int:
        """Return the next event chain id."""
        return next(self._chains)

    def recent(self, target: SimObject | None = None) -> list[Any]:
        """Return references to the tasks of an object (of all), the oldest first."""
        if target is None:
            return [task.ref for task in list(self._all.values())[-_RECENT:]]
        return [task.ref for task in self._by_target.get(target.moid, ())]

    def start(
        self,
        call: Call,
        target: SimObject,
        name: str,
        work: Callable[[], Any],
        *,
        begin: Callable[[], None] | None,
        undo: Callable[[], None] | None,
        cancelable: bool,
    ) -> Any:
        """Start a task as `Call.start_task` describes it."""
        task = SimTask(self._world, target, name, call.user)
        self._all[task.moid] = task
        self._by_target.setdefault(target.moid, []).append(task)
        task.duration = self._world.latency.of_task(name)
        if cancelable:
            task.allow_cancel()
        self._world.service.task_manager.touch()
        planned = call.effects if call.method == name else None
        task.work = work
        if planned and planned.fault:
            fault = make_fault(planned.fault, target.ref, name)
            task.work = lambda: _raise(fault)
        try:
            (begin or _nothing)()
        except vmodl.MethodFault as refused:
            task.fail(refused)
            return task.ref
        task.undo = undo or _nothing
        if not (planned and planned.hang):
            self._schedule(task)
        return task.ref

    def ended(self, task: SimTask) -> None:
        """Tell of a task that has ended; let it expire when its retention time is over."""
        for tell in self.observers:
            tell(task)
        self._world.service.task_manager.touch()
        self._world.later(self._world.settings.task_retention, lambda: self._expire(task))

    def _schedule(self, task: SimTask) -> None:
        if not task.duration:
            task.finish()
            return
        if task.duration >= _SHORTEST_WITH_PROGRESS:
            for step in range(1, _PROGRESS_STEPS):
                self._world.later(task.duration * step / _PROGRESS_STEPS, task.touch)
        self._world.later(task.duration, task.finish)

    def _expire(self, task: SimTask) -> None:
        del self._all[task.moid]
        siblings = self._by_target[task.target.moid]
        siblings.remove(task)
        if not siblings:
            del self._by_target[task.target.moid]
        self._world.remove(task)


def _raise(fault: Any) -> None:
    raise fault


class TaskManager(SimObject):
    """Lists the tasks of the recent past."""

    wsdl_type = vim.TaskManager
    prefix = "TaskManager"

    @prop("recentTask")
    def recent_task(self) -> list[Any]:
        """The tasks that run or ended a short time ago."""
        return self.world.tasks.recent()

    @prop("maxCollector")
    def max_collector(self) -> int:
        """How many history collectors a session may make: the simulator has none."""
        return 0
