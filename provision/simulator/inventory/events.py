"""The event manager: what has happened, one event for each task that ended."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.engine.objects import SimObject, method, prop
from provision.simulator.inventory import faults
from provision.simulator.inventory.entity import Entity
from provision.simulator.inventory.eventtypes import CATEGORIES, describe, make

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.engine.tasks import SimTask
    from provision.simulator.inventory.inventory import Inventory

# The oldest go first, as with vCenter's retention.
KEPT = 10_000
PAGE = 10
_NOT_FILTERED = ("alarm", "scheduledTask", "category", "tag")


@dataclass(frozen=True, slots=True)
class Happened:
    """An event, the objects that it is about, and those that contain them."""

    event: Any
    about: frozenset[str]
    within: frozenset[str]


class EventManager(SimObject):
    """`content.eventManager`."""

    wsdl_type = vim.event.EventManager
    prefix = "EventManager"

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._keys = itertools.count(1)
        self._collectors: dict[str, EventHistoryCollector] = {}
        self.happened: deque[Happened] = deque(maxlen=KEPT)
        super().__init__(inventory.world, "EventManager")
        self.world.tasks.observers.append(self._record)

    def _record(self, task: SimTask) -> None:
        """Keep an event about a task that has ended."""
        target = task.target
        if not isinstance(target, Entity):
            return
        event, subjects = make(task.info(), target, self._inventory)
        event.key = next(self._keys)
        about = frozenset(subject.moid for subject in subjects)
        within = frozenset(itertools.chain.from_iterable(_containers(s) for s in subjects))
        self.happened.append(Happened(event, about, within))
        self.touch()
        for collector in list(self._collectors.values()):
            if collector.moid in self.world.objects:
                collector.touch()
            else:
                del self._collectors[collector.moid]

    @prop("maxCollector")
    def max_collector(self) -> int:
        """How many collectors a session may have."""
        return 32

    @prop("latestEvent")
    def latest_event(self) -> Any:
        """The event that happened last."""
        return self.happened[-1].event if self.happened else None

    @prop("description")
    def description(self) -> Any:
        """The kinds of events, and how grave each is."""
        return vim.event.EventDescription(
            category=[
                vim.ElementDescription(key=name, label=name.capitalize(), summary=name)
                for name in ("info", "warning", "error", "user")
            ],
            eventInfo=[describe(kind, category) for kind, category in CATEGORIES.items()],
        )

    @method("QueryEvents")
    def query(self, _: Call, filter: Any, eventViewSpec: Any = None) -> list[Any]:  # noqa: A002, N803 - WSDL's names
        """Return the events that pass a filter, the oldest first."""
        del eventViewSpec
        found = list(self.passing(filter))
        return found[-filter.maxCount :] if filter.maxCount else found

    @method("CreateCollectorForEvents")
    def create_collector(self, call: Call, filter: Any) -> Any:  # noqa: A002 - WSDL's name
        """Return a collector of the events that pass a filter, also of later ones."""
        for name in _NOT_FILTERED:
            if getattr(filter, name):
                raise faults.unsupported(f"The simulator can't filter events by {name}.")
        collector = EventHistoryCollector(self, filter)
        collector.owner = call.session
        self._collectors[collector.moid] = collector
        return collector.ref

    def passing(self, wanted: Any) -> Iterator[Any]:
        """Yield the events that pass a filter, the oldest first."""
        names = {name.rpartition(".")[2] for name in wanted.eventTypeId or ()}
        kinds = tuple(wanted.type or ())
        for one in self.happened:
            kind = type(one.event)
            named = not names or kind.__name__.rpartition(".")[2] in names
            if (
                named
                and (not kinds or issubclass(kind, kinds))
                and _is_about(one, wanted.entity)
                and _is_within(one.event, wanted.time)
                and _is_by(one.event, wanted.userName)
            ):
                yield one.event


def _containers(entity: Entity) -> Iterator[str]:
    """Yield the ids of all that an entity lies in: by folders, and by host and cluster."""
    for start in (entity, getattr(entity, "host", None)):
        at: Entity | None = start
        while at is not None:
            yield at.moid
            at = at.parent


def _is_about(one: Happened, wanted: Any) -> bool:
    if wanted is None:
        return True
    moid = wanted.entity._GetMoId()  # noqa: SLF001 - public
    return moid in one.about or (wanted.recursion != "self" and moid in one.within)


def _is_within(event: Any, wanted: Any) -> bool:
    if wanted is None:
        return True
    begins = wanted.beginTime is None or event.createdTime >= wanted.beginTime
    return begins and (wanted.endTime is None or event.createdTime <= wanted.endTime)


def _is_by(event: Any, wanted: Any) -> bool:
    return wanted is None or not wanted.userList or event.userName in wanted.userList


class EventHistoryCollector(SimObject):
    """The events that pass a filter, page by page; it ends with its session.

    `latestPage` shows the newest ones; the scrollable view begins just before them (vSphere
    API reference, HistoryCollector).
    """

    wsdl_type = vim.event.EventHistoryCollector
    prefix = "EventHistoryCollector"

    def __init__(self, manager: EventManager, wanted: Any) -> None:
        self._manager = manager
        self._wanted = wanted
        self._size = PAGE
        super().__init__(manager.world)
        self._position = max(0, len(self._all()) - PAGE)

    def _all(self) -> list[Any]:
        return list(self._manager.passing(self._wanted))

    @prop("filter")
    def filter(self) -> Any:
        """What it was asked to collect."""
        return self._wanted

    @prop("latestPage")
    def latest_page(self) -> list[Any]:
        """The newest events, the newest first."""
        return self._all()[: -self._size - 1 : -1]

    @method("ReadNextEvents")
    def read_next(self, _: Call, maxCount: int) -> list[Any]:  # noqa: N803 - WSDL's name
        """Return events from the position on, the oldest first."""
        found = self._all()[self._position :][:maxCount]
        self._position += len(found)
        return found

    @method("ReadPreviousEvents")
    def read_previous(self, _: Call, maxCount: int) -> list[Any]:  # noqa: N803 - WSDL's name
        """Return the events before the position, the oldest first."""
        first = max(0, self._position - maxCount)
        found = self._all()[first : self._position]
        self._position = first
        return found

    @method("SetCollectorPageSize")
    def set_page_size(self, _: Call, maxCount: int) -> None:  # noqa: N803 - WSDL's name
        """Set how many events the latest page shows."""
        if maxCount < 1:
            raise faults.invalid_argument("maxCount", f"{maxCount} is no size of a page.")
        self._size = maxCount
        self._position = max(0, len(self._all()) - maxCount)
        self.touch()

    @method("ResetCollector")
    def reset(self, _: Call) -> None:
        """Move the position to just before the latest page."""
        self._position = max(0, len(self._all()) - self._size)

    @method("RewindCollector")
    def rewind(self, _: Call) -> None:
        """Move the position to the oldest event."""
        self._position = 0

    @method("DestroyCollector")
    def destroy(self, _: Call) -> None:
        """Forget the collector."""
        self.world.remove(self)
