"""Which machine goes to which host, and onto which cards. Pure and deterministic.

Machines that are hard to place go first: those that have a VM already, cards by address, cards
by model, then vGPUs by falling framebuffer, machines without a GPU last. Machines that want the
same stand together and share one heap of hosts, so that placing one costs a look at a few hosts
and not at all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import groupby, pairwise

from provision.plan.hoststate import HostState
from provision.plan.model import CardChoice
from provision.plan.needs import GroupNeed, ModelNeed, Need, PinnedNeed, VgpuNeed
from provision.plan.refusals import Reach, Refused, taken, unusable, why
from provision.plan.request import Request
from provision.plan.shared import SharedCards, offers
from provision.plan.snapshot import Host, Power, Vm

Score = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """Everything that placement depends on.

    Attributes:
        requests: The machines that need a host, in the order of the lab file.
        hosts: The hosts of the cluster.
        configured: Bytes of memory that powered-on VMs are configured with, by host id.
        reach: What every host must have a way to.
    """

    requests: tuple[Request, ...]
    hosts: tuple[Host, ...]
    configured: Mapping[str, int] = field(default_factory=dict)
    reach: Reach = field(default_factory=Reach)


@dataclass(frozen=True, slots=True)
class Placed:
    """A machine, its host, and the cards it will hold."""

    request: Request
    host: Host
    cards: tuple[CardChoice, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What placement found.

    Attributes:
        placed: In the order in which the machines must be powered on.
        unplaced: The machines for which there is no host, in the order of the lab file.
        states: The hosts with everything that was placed on them, by id.
    """

    placed: tuple[Placed, ...]
    unplaced: tuple[Request, ...]
    states: Mapping[str, HostState]
    reach: Reach

    def refusals(self, request: Request) -> tuple[tuple[Host, Refused], ...]:
        """Return why each host that was considered does not take one more such machine.

        A machine that may not leave its VM's host has only that one, and one whose host the
        lab file names that other one.
        """
        party = [request]
        if request.together:
            party = [other for other in self.unplaced if other.group == request.group]
        return tuple(
            (state.host, why(state, party, self.reach))
            for state in self.states.values()
            if _considered(state.host, request)
        )

    def most_together(self, party: Sequence[Request]) -> int:
        """Return how many machines of a group the best host takes as they ask for it."""
        first = party[0]
        states = [s for s in self.states.values() if unusable(s.host, self.reach) is None]
        joined = [s for s in states if s.has_company(first)]
        able = [s for s in joined or states if _considered(s.host, first)]
        return max((taken(state, party) for state in able), default=0)


def _considered(host: Host, request: Request) -> bool:
    if request.home is not None and not request.movable:
        return host.id == request.home
    return request.host in (None, host.name)


def configured_memory(vms: Iterable[Vm]) -> dict[str, int]:
    """Return the bytes of memory that powered-on VMs are configured with, by host id."""
    used: dict[str, int] = {}
    for vm in vms:
        if vm.host_id is not None and vm.power is Power.ON:
            used[vm.host_id] = used.get(vm.host_id, 0) + vm.memory
    return used


def place(problem: Problem) -> Outcome:
    """Find a host and cards for every machine, as far as there are any."""
    return _Placer(problem).run()


class _Placer:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        hosts = sorted(problem.hosts, key=lambda host: (host.name, host.id))
        self.states = {
            host.id: _state(host, rank, problem.configured.get(host.id, 0))
            for rank, host in enumerate(hosts)
        }
        self.usable = [
            state for state in self.states.values() if unusable(state.host, problem.reach) is None
        ]
        self.homes: dict[str, HostState] = {}

    def run(self) -> Outcome:
        order = sorted(self.problem.requests, key=_difficulty)
        newcomers = [request for request in order if not self._stays(request)]
        for _, alike in groupby(newcomers, key=_bucket):
            self._place_alike(list(alike))
        missing = (r for r in self.problem.requests if r.machine not in self.homes)
        placed = tuple(
            Placed(request, state.host, state.cards_of(request.machine))
            for request in _in_power_on_order(order, self.homes)
            for state in (self.homes[request.machine],)
        )
        return Outcome(placed, tuple(missing), self.states, self.problem.reach)

    def _stays(self, request: Request) -> bool:
        """Place a machine that has a VM where that is; True where nothing is left to be done."""
        if request.home is None:
            return False
        state = self.states.get(request.home)
        if request.movable and (state is None or not _asked_for(state, request)):
            return False
        if state and unusable(state.host, self.problem.reach) is None and state.add(request):
            self.homes[request.machine] = state
            return True
        return not request.movable

    def _place_alike(self, requests: list[Request]) -> None:
        """Place machines that want the same GPUs; larger memory comes first."""
        need = requests[0].need
        hosts = [
            state
            for state in self.usable
            if _asked_for(state, requests[0]) and _worth_trying(state, need)
        ]
        if requests[0].together:
            self._place_together(requests, hosts)
            return
        heap = [(*_score(state, need), state.rank) for state in hosts]
        heapify(heap)
        by_rank = {state.rank: state for state in hosts}
        too_small: list[tuple[int, ...]] = []
        for _, equal in groupby(requests, key=lambda r: (r.memory, r.cpus)):
            for entry in too_small:
                heappush(heap, entry)
            too_small = []
            for request in equal:
                self._place_one(request, heap, by_rank, too_small)

    def _place_together(self, requests: list[Request], hosts: list[HostState]) -> None:
        """Place all machines of a group on one host, or none of them."""
        first = requests[0]
        if first.company or any(first.group in state.members for state in self.usable):
            hosts = [state for state in hosts if state.has_company(first)]
        for state in sorted(hosts, key=lambda state: (_score(state, first.need), state.rank)):
            if state.add_all(requests):
                self.homes |= dict.fromkeys((request.machine for request in requests), state)
                return

    def _place_one(
        self,
        request: Request,
        heap: list[tuple[int, ...]],
        by_rank: Mapping[int, HostState],
        too_small: list[tuple[int, ...]],
    ) -> None:
        while heap:
            entry = heappop(heap)
            state = by_rank[entry[-1]]
            if request.cpus > state.host.cpus or not state.memory_allows(request):
                too_small.append(entry)
            elif state.add(request):
                self.homes[request.machine] = state
                if not request.spread:
                    heappush(heap, (*_score(state, request.need), state.rank))
                return


def _state(host: Host, rank: int, configured: int) -> HostState:
    taken = frozenset(
        card.address for card in host.cards if any(not use.profile for use in card.uses)
    )
    return HostState(
        host=host,
        rank=rank,
        reservable=host.memory - host.memory_reserved,
        free=host.memory - max(configured, host.memory_reserved),
        shared=SharedCards.of(host),
        taken=taken,
    )


def _difficulty(request: Request) -> tuple[int | str, ...]:
    """Return the sort key that puts machines that are hard to place first."""
    return (*_bucket(request), -request.memory, -request.cpus)


def _bucket(request: Request) -> tuple[int | str, ...]:
    """Return what machines have in common that can share one heap of hosts."""
    return (*_kind(request.need), *_company(request))


def _company(request: Request) -> tuple[int, str]:
    """Return what sets a machine's hosts apart from those of others; hard wishes come first."""
    if request.together:
        return 0, request.group
    if request.spread:
        return 1, request.group
    return (2, request.host) if request.host is not None else (3, "")


def _kind(need: Need | None) -> tuple[int | str, ...]:
    if isinstance(need, PinnedNeed):
        return 0, 0, 0, f"{need.host}/{need.address}"
    if isinstance(need, ModelNeed):
        return 1, -need.count, 0, need.model.key
    if isinstance(need, GroupNeed):
        return 2, 0, 0, need.group
    if isinstance(need, VgpuNeed):
        profile = need.profile
        phase = 3 if need.group else 4
        return phase, -profile.framebuffer_mib, -need.count, need.group or profile.name
    return 5, 0, 0, ""


def _asked_for(state: HostState, request: Request) -> bool:
    """Whether the machine may go to this host as far as its group's wishes say."""
    if request.host not in (None, state.host.name):
        return False
    return not (request.spread and state.has_company(request))


def _worth_trying(state: HostState, need: Need | None) -> bool:
    """Whether the host has the kind of card at all; cheap, asked of every host."""
    if isinstance(need, PinnedNeed):
        return state.host.name == need.host
    if isinstance(need, VgpuNeed):
        return offers(state.host, need) and bool(state.shared.loads_for(need))
    if isinstance(need, ModelNeed):
        return len(state.free_cards(need)) >= need.count
    return True


def _score(state: HostState, need: Need | None) -> Score:
    """Return how good a host is for the next machine: the lowest is the best.

    GPU machines fill one host before they open the next, and go where a card of their profile
    is open already, so that whole cards and whole hosts stay free for larger requests. Machines
    without a GPU keep away from hosts with cards and go where most memory is free.
    """
    if isinstance(need, VgpuNeed):
        left = state.shared.outlook(need)
        return int(left.opens), left.room
    if isinstance(need, ModelNeed):
        return 0, len(state.free_cards(need))
    if need is None:
        return int(bool(state.host.cards)), -state.free
    return 0, 0


def _in_power_on_order(
    order: Sequence[Request], homes: Mapping[str, HostState]
) -> Iterator[Request]:
    """Yield the placed machines so that each host's vGPU machines come in its queue's order."""
    rank = {request.machine: n for n, request in enumerate(order) if request.machine in homes}
    queues = {
        state.rank: [request.machine for request, _ in state.shared.queue]
        for state in homes.values()
    }
    following = {a: b for queue in queues.values() for a, b in pairwise(queue)}
    waiting = set(following.values())
    ready = [n for machine, n in rank.items() if machine not in waiting]
    heapify(ready)
    while ready:
        request = order[heappop(ready)]
        yield request
        if request.machine in following:
            heappush(ready, rank[following[request.machine]])
