"""One thread that waits for a session's tasks, VMs and hosts with a single outstanding call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pyVmomi import vim, vmodl

from provision.deadline import Deadline
from provision.errors import NoConnection
from provision.vsphere.collector import moid
from provision.vsphere.retry import within
from provision.vsphere.session import Session, VCenterAway
from provision.vsphere.tls import ResponseLost

WAIT_SECONDS = 30
UNSEEN_SECONDS = 2.0
PAUSE_AFTER_LOSS = 0.2
CLOSE_SECONDS = 5.0
CANCEL_SECONDS = 0.05

TASK_PATHS = ("info",)
VM_PATHS = (
    "runtime.powerState",
    "runtime.question",
    "guest.toolsRunningStatus",
    "guest.net",
    "guest.ipAddress",
    "config.instanceUuid",
    "config.extraConfig",
)
HOST_PATHS = ("runtime.connectionState", "runtime.bootTime")

_Query = vmodl.query.PropertyCollector
Values = Mapping[str, Any]
Predicate = Callable[[Values], bool]


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """How a task ended. `gone` is a task that vCenter has forgotten already."""

    state: str
    result: Any = None
    fault: Any = None


@dataclass(eq=False, slots=True)
class _Watch:
    """One thread's wait for one object."""

    enough: Predicate
    over: threading.Event = field(default_factory=threading.Event)
    values: Values = field(default_factory=dict)
    gone: bool = False
    error: NoConnection | None = None


class Waiter:
    """Waits for tasks and VMs on behalf of any number of threads.

    All objects are in one list view behind one property filter. When the session is lost,
    view and filter are made anew, with the same objects: nothing but reading happens twice.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Condition()
        self._refs: dict[str, Any] = {}
        self._watches: dict[str, list[_Watch]] = {}
        self._values: dict[str, dict[str, Any]] = {}
        self._view: Any = None
        self._collector: Any = None
        self._stopped = False
        self._thread: threading.Thread | None = None

    def wait_task(self, task: Any, deadline: Deadline) -> TaskEnd | None:
        """Return how a task ended; None where the deadline came first.

        Raises:
            NoConnection: vCenter refused to let the session go on.
        """
        watch = self._wait(task, _ended, deadline)
        if watch.gone:
            return TaskEnd("gone")
        if not watch.over.is_set():
            return None
        info = watch.values["info"]
        return TaskEnd(info.state, info.result, info.error)

    def wait_vm(self, vm: Any, enough: Predicate, deadline: Deadline) -> tuple[bool, Values]:
        """Return whether `enough` became true of a VM's `VM_PATHS`, and their last values.

        `enough` runs in the waiter's thread and must not block. A VM that is gone has no values.

        Raises:
            NoConnection: vCenter refused to let the session go on.
        """
        watch = self._wait(vm, enough, deadline)
        if watch.gone:
            return False, {}
        with self._lock:
            last = watch.values or dict(self._values.get(moid(vm), {}))
        return watch.over.is_set(), last

    def wait_host(self, host: Any, enough: Predicate, deadline: Deadline) -> tuple[bool, Values]:
        """Do as `wait_vm`, with a host and its `HOST_PATHS`."""
        return self.wait_vm(host, enough, deadline)

    def waits_for(self) -> set[str]:
        """Return the ids of all objects that some thread waits for."""
        with self._lock:
            return set(self._watches)

    def close(self) -> None:
        """End the thread; whoever still waits runs into its deadline."""
        with self._lock:
            self._stopped = True
            self._lock.notify_all()
            thread = self._thread
        end = Deadline.after(CLOSE_SECONDS)
        while thread is not None and not end.passed:
            thread.join(CANCEL_SECONDS)
            if not thread.is_alive():
                return
            # Again and again, because a cancel may overtake the wait that it is meant for.
            self._cancel(end)

    def _cancel(self, end: Deadline) -> None:
        with self._lock:
            collector = self._collector
        if collector is not None:
            with within(end), suppress(OSError, NoConnection, vmodl.MethodFault):
                collector.CancelWaitForUpdates()

    def _wait(self, ref: Any, enough: Predicate, deadline: Deadline) -> _Watch:
        watch = _Watch(enough)
        self._begin(ref, watch)
        try:
            while not watch.over.wait(min(deadline.left, UNSEEN_SECONDS)) and not deadline.passed:
                self._ask_for_unseen(ref)
        finally:
            self._end(ref, watch)
        if watch.error is not None:
            raise watch.error
        return watch

    def _begin(self, ref: Any, watch: _Watch) -> None:
        with self._lock:
            key = moid(ref)
            self._watches.setdefault(key, []).append(watch)
            known = key in self._refs
            self._refs[key] = ref
            if key in self._values:
                _judge(watch, self._values[key])
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="vsphere-waiter", daemon=True
                )
                self._thread.start()
            self._lock.notify_all()
            view = None if known else self._view
            idle = self._take_idle() if view is not None else []
        if view is not None:
            self._add(view, [ref], idle)

    def _ask_for_unseen(self, ref: Any) -> None:
        """Add an object of which nothing has come once more.

        One that vCenter forgot after it was added, and before the collector looked, is never told
        of; adding it tells.
        """
        with self._lock:
            view = None if moid(ref) in self._values else self._view
        if view is not None:
            self._add(view, [ref])

    def _add(self, view: Any, refs: list[Any], idle: Sequence[Any] = ()) -> None:
        # A view that died with its session is made anew by the waiter's own thread.
        with suppress(ResponseLost, VCenterAway, vmodl.fault.ManagedObjectNotFound):
            self._gone(view.ModifyListView(refs, list(idle)) or ())

    def _end(self, ref: Any, watch: _Watch) -> None:
        with self._lock:
            watches = self._watches[moid(ref)]
            watches.remove(watch)
            if not watches:
                del self._watches[moid(ref)]

    def _take_idle(self) -> list[Any]:
        """Return the objects that nobody waits for any more and forget them; needs the lock."""
        idle = [key for key in self._refs if key not in self._watches]
        for key in idle:
            self._values.pop(key, None)
        return [self._refs.pop(key) for key in idle]

    def _run(self) -> None:
        version = ""
        while self._someone_waits():
            try:
                if self._view is None:
                    version = ""
                    self._build()
                options = _Query.WaitOptions(maxWaitSeconds=WAIT_SECONDS)
                update = self._collector.WaitForUpdatesEx(version, options)
                if update is not None:
                    version = update.version
                    self._apply(update)
            except VCenterAway:
                self._view = None
            except NoConnection as error:
                self._fail(error)
                return
            except (ResponseLost, vmodl.MethodFault):
                # Whatever ended this wait (a lost session, a restarted vCenter, a cancelled
                # call), the way on is the same: a new filter over the same objects.
                self._view = None
                if not self._stopped:
                    self._session.closed.wait(PAUSE_AFTER_LOSS)

    def _someone_waits(self) -> bool:
        with self._lock:
            while not self._stopped and not self._unanswered():
                self._lock.wait()
            return not self._stopped

    def _unanswered(self) -> bool:
        return any(not watch.over.is_set() for same in self._watches.values() for watch in same)

    def _build(self) -> None:
        content = self._session.content
        collector = content.propertyCollector.CreatePropertyCollector()
        view = content.viewManager.CreateListView()
        collector.CreateFilter(_filter(view), partialUpdates=False)
        with self._lock:
            self._take_idle()
            self._values.clear()
            refs = list(self._refs.values())
            self._collector, self._view = collector, view
        self._gone(view.ModifyListView(refs) or ())

    def _apply(self, update: Any) -> None:
        left = []
        for change in (c for part in update.filterSet or () for c in part.objectSet or ()):
            if change.kind == "leave":
                left.append(change.obj)
            else:
                self._note(change)
        again = self._still_wanted(left)
        if again:
            # Either the object is gone, or its removal from the view crossed a new wait for
            # it. Adding it once more tells which.
            self._gone(self._view.ModifyListView(again) or ())

    def _note(self, change: Any) -> None:
        with self._lock:
            key = moid(change.obj)
            values = self._values.setdefault(key, {})
            for one in change.changeSet or ():
                values[one.name] = one.val
            for watch in self._watches.get(key, ()):
                _judge(watch, values)

    def _still_wanted(self, refs: Iterable[Any]) -> list[Any]:
        with self._lock:
            for ref in refs:
                self._values.pop(moid(ref), None)
            return [ref for ref in refs if moid(ref) in self._watches]

    def _gone(self, refs: Iterable[Any]) -> None:
        with self._lock:
            for ref in refs:
                self._values.pop(moid(ref), None)
                self._refs.pop(moid(ref), None)
                for watch in self._watches.get(moid(ref), ()):
                    watch.gone = True
                    watch.over.set()

    def _fail(self, error: NoConnection) -> None:
        with self._lock:
            self._view, self._thread = None, None
            for watch in (w for watches in self._watches.values() for w in watches):
                watch.error = error
                watch.over.set()


def _judge(watch: _Watch, values: Values) -> None:
    """End a wait whose condition has come true."""
    if not watch.over.is_set() and watch.enough(values):
        watch.values = dict(values)
        watch.over.set()


def _ended(values: Values) -> bool:
    info = values.get("info")
    return info is not None and info.state in {"success", "error"}


def _filter(view: Any) -> Any:
    through = _Query.TraversalSpec(name="view", type=vim.view.ListView, path="view", skip=False)
    return _Query.FilterSpec(
        objectSet=[_Query.ObjectSpec(obj=view, skip=True, selectSet=[through])],
        propSet=[
            _Query.PropertySpec(type=vim.Task, pathSet=list(TASK_PATHS)),
            _Query.PropertySpec(type=vim.VirtualMachine, pathSet=list(VM_PATHS)),
            _Query.PropertySpec(type=vim.HostSystem, pathSet=list(HOST_PATHS)),
        ],
    )
