"""The world behind both doors: its objects, its lock, its clock, and what clients do to it."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyVmomi import VmomiSupport, vim, vmodl

from provision.simulator.engine.call import Call
from provision.simulator.engine.clock import Clock, RealClock
from provision.simulator.engine.faultplan import FaultPlan
from provision.simulator.engine.latency import Latency
from provision.simulator.engine.objects import NO_LOGIN_NEEDED, SimObject
from provision.simulator.engine.service import ServiceInstance
from provision.simulator.engine.sessions import Session, Sessions
from provision.simulator.engine.tasks import Tasks

# What a machine hosts may come and go without moving anything else in the tree.
_LEAVES = (vim.VirtualMachine, vim.Datastore, vim.Network)

_OPERATIONS = 10_000


@dataclass(frozen=True, slots=True)
class User:
    """Someone who may log in. `privileges` are all that they hold; None means every one."""

    password: str
    privileges: frozenset[str] | None = None


def _default_users() -> dict[str, User]:
    return {"administrator@vsphere.local": User("simulated")}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a vCenter is configured with. Times are seconds."""

    api_version: str = "8.0.3.0"
    instance_uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    users: Mapping[str, User] = field(default_factory=_default_users)
    session_idle: float = 1800.0
    task_retention: float = 600.0


class World:
    """A simulated vCenter.

    Every method and every getter of an object runs while `lock` is held. Whoever changes an
    object from outside of a method (a guest that reports its address) takes the lock and
    touches the object.

    Attributes:
        users: Who may log in, by name; a change counts from the next login or check on.
        calls: How often each method was called, by WSDL name (`Fetch` for a property).
        operations: The latest calls that named an operation: its id, and the method.
        changed: Notified at every touch; built on `lock`.
        version: Grows by one with every touch.
        containment: The version at which the inventory tree last changed its shape.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        clock: Clock | None = None,
        faults: FaultPlan | None = None,
        latency: Latency | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.clock: Clock = clock or RealClock()
        self.users = dict(self.settings.users)
        self.faults = faults or FaultPlan()
        self.latency = latency or Latency()
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.objects: dict[str, SimObject] = {}
        self.calls: Counter[str] = Counter()
        self.operations: deque[tuple[str, str]] = deque(maxlen=_OPERATIONS)
        self.version = 0
        self.containment = 0
        self.closing = False
        self.outage_until = 0.0
        self._numbers = itertools.count(1)
        self._thread = threading.local()
        self._touched: dict[str, int] = {}
        self.sessions = Sessions(self)
        self.tasks = Tasks(self)
        self.service = ServiceInstance(self)

    @property
    def api_version(self) -> str:
        """The newest API version that is spoken, by pyVmomi's name for it."""
        version: str = VmomiSupport.versionMap[f"vim25/{self.settings.api_version}"]
        return version

    @property
    def current_call(self) -> Call | None:
        """The call that this thread is carrying out."""
        call: Call | None = getattr(self._thread, "call", None)
        return call

    @current_call.setter
    def current_call(self, call: Call | None) -> None:
        self._thread.call = call

    def allows(self, session: Session | None, privilege: str) -> bool:
        """Tell whether a session's user holds a privilege; those of `System` come with a login."""
        if session is None:
            return privilege == NO_LOGIN_NEEDED
        user = self.users.get(session.user)
        if user is None:
            return False
        held = user.privileges
        return held is None or privilege in held or privilege.startswith("System.")

    def new_moid(self, prefix: str) -> str:
        """Return an id that was never used before, such as `vm-12`."""
        return f"{prefix}-{next(self._numbers)}"

    def add(self, obj: SimObject) -> None:
        """Make an object known under its id; `SimObject` does this itself."""
        with self.lock:
            self.objects[obj.moid] = obj
            self._mark(obj, moved=issubclass(obj.wsdl_type, vim.ManagedEntity))

    def remove(self, obj: SimObject) -> None:
        """Forget an object: from now on its id gives `ManagedObjectNotFound`."""
        with self.lock:
            if self.objects.pop(obj.moid, None) is not None:
                self._mark(obj, moved=issubclass(obj.wsdl_type, vim.ManagedEntity))

    def get(self, moid: str) -> SimObject:
        """Return the object with this id.

        Raises:
            vmodl.fault.ManagedObjectNotFound: There is none (any more).
        """
        try:
            return self.objects[moid]
        except KeyError:
            raise vmodl.fault.ManagedObjectNotFound(obj=VmomiSupport.ManagedObject(moid)) from None

    def resolve(self, ref: Any) -> SimObject:
        """Return the object that a managed object reference names.

        Raises:
            vmodl.fault.ManagedObjectNotFound: There is none (any more).
        """
        obj = self.objects.get(ref._moId)  # noqa: SLF001 - pyVmomi documents it as public
        if obj is None or not issubclass(obj.wsdl_type, type(ref)):
            raise vmodl.fault.ManagedObjectNotFound(obj=ref)
        return obj

    def touch(self, obj: SimObject) -> None:
        """Note that an object has changed and wake everyone who waits for updates.

        Touch a folder, a host, a pool or a cluster whenever what it holds has changed.
        """
        with self.lock:
            moved = issubclass(obj.wsdl_type, vim.ManagedEntity)
            self._mark(obj, moved=moved and not issubclass(obj.wsdl_type, _LEAVES))

    def touched_since(self, version: int) -> Iterator[str]:
        """Yield the ids of the objects touched, added or removed after `version`."""
        for moid in reversed(self._touched):
            if self._touched[moid] <= version:
                return
            yield moid

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run `action` under the lock when `seconds` have passed."""

        def locked() -> None:
            with self.lock:
                if not self.closing:
                    action()

        self.clock.call_later(seconds, locked)

    def start_outage(self, seconds: float) -> None:
        """Let both doors refuse everybody for some time, as a vCenter that restarts does."""
        with self.lock:
            self.outage_until = self.clock.monotonic() + seconds
            self.changed.notify_all()

    @property
    def away(self) -> bool:
        """Whether an outage is going on."""
        return self.clock.monotonic() < self.outage_until

    def close(self) -> None:
        """End all waits and forget everything that is still to come."""
        with self.lock:
            self.closing = True
            self.changed.notify_all()
        self.clock.close()

    def _mark(self, obj: SimObject, *, moved: bool) -> None:
        self.version += 1
        obj.version = self.version
        self._touched.pop(obj.moid, None)
        self._touched[obj.moid] = self.version
        if moved:
            self.containment = self.version
        self.changed.notify_all()
