"""Who takes the next step: the first in the plan, where host and datastore have room for it.

vCenter bounds what it does at a time on each host and each datastore, and queues the rest. What
waits in vCenter's queue runs into its deadline there and delays everybody else's work; what
waits here does not.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from provision.apply.pipeline import WAITS, Step
from provision.plan.model import Action

# "Limits on Simultaneous Migrations" in VMware's "vCenter Server and Host Management": each
# host bears a cost of 8, and a clone costs 1. Clones have no limit of their own on datastores;
# as they copy disks, Storage vMotion's is taken: a cost of 16 each, of 128.
PER_HOST = 8
PER_DATASTORE = 8

Places = frozenset[tuple[str, str]]
Rank = tuple[bool, int]


def places_of(action: Action, step: Step) -> Places:
    """Return the hosts and datastores that a step works on, as pairs of kind and id."""
    if step in WAITS:
        return frozenset()
    now = action.vm.host_id if action.vm else None
    later = action.host_id or now
    removes = step in (Step.SHUT_DOWN, Step.DESTROY)
    places = {("host", now if removes and now else later)}
    if step is Step.RELOCATE:
        places.add(("host", now))
    if step is Step.CLONE:  # the only step that copies disks
        places.add(("datastore", action.datastore_id))
    return frozenset((kind, id_) for kind, id_ in places if id_ is not None)


@dataclass(slots=True)
class Ready:
    """The machines whose next step may begin, in one queue for each set of places.

    `rank` puts machines in order; who has the lowest goes first, unless a place is full.
    """

    per_host: int = PER_HOST
    per_datastore: int = PER_DATASTORE
    _queues: dict[Places, list[tuple[Rank, str]]] = field(default_factory=dict)
    _busy: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def add(self, machine: str, rank: Rank, places: Places) -> None:
        """Let a machine wait for its next step, which works on these places."""
        heapq.heappush(self._queues.setdefault(places, []), (rank, machine))

    def pop(self) -> str | None:
        """Return the machine whose turn it is; None where nobody waits or no place has room."""
        free = (places for places in self._queues if self._has_room(places))
        best = min(free, key=lambda places: self._queues[places][0], default=None)
        if best is None:
            return None
        machine = heapq.heappop(self._queues[best])[1]
        if not self._queues[best]:
            del self._queues[best]
        return machine

    def begin(self, places: Places) -> None:
        """Record that a step works on these places."""
        self._busy.update(places)

    def end(self, places: Places) -> None:
        """Record that it does no more."""
        self._busy.subtract(places)

    def _has_room(self, places: Iterable[tuple[str, str]]) -> bool:
        most = {"host": self.per_host, "datastore": self.per_datastore}
        return all(self._busy[place] < most[place[0]] for place in places)
