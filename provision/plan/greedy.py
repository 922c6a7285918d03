"""Placing machines one after the other, each where it seems best: fast, and nearly always enough.

Machines that are hard to place go first: those that have a VM already, cards by address, cards
by label, cards by model, then vGPUs by falling framebuffer, machines without a GPU last. Machines
that want the same stand together and share one heap of hosts, so that placing one costs a look at
a few hosts and not at all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import groupby

from provision.plan.hoststate import HostState
from provision.plan.needs import GroupNeed, ModelNeed, Need, PinnedNeed, VgpuNeed
from provision.plan.problem import Board, Problem, asked_for
from provision.plan.request import Request
from provision.plan.shared import offers

Score = tuple[float, ...]
Entry = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Strategy:
    """How machines are ordered and hosts are chosen.

    Attributes:
        match: How much it counts that a host's memory per free framebuffer is like the machine's,
            so that neither is used up before the other: not at all, less than that a card of its
            profile is open there, or more.
        thrifty: Whether machines with the least memory per framebuffer go first, so that short
            memory packs as many cards as it can.
    """

    match: int = 0
    thrifty: bool = False


FILL = Strategy()
FOR_SHORT_MEMORY = (Strategy(match=1), Strategy(match=1, thrifty=True), Strategy(match=2))


def greedy(problem: Problem, strategy: Strategy = FILL) -> Board:
    """Return the board after every machine has been placed for which this way finds a host."""
    return _Placer(problem, strategy).run()


class _Placer:
    def __init__(self, problem: Problem, strategy: Strategy) -> None:
        self.board = Board(problem)
        self.strategy = strategy

    def run(self) -> Board:
        stages = difficulty if not self.strategy.thrifty else _thrift
        order = sorted(self.board.problem.requests, key=stages)
        newcomers = [request for request in order if not self.board.stays(request)]
        for _, alike in groupby(newcomers, key=self._bucket):
            self._place_alike(list(alike))
        return self.board

    def _bucket(self, request: Request) -> tuple[float | str, ...]:
        """Return what machines have in common that can share one heap of hosts."""
        if self.strategy.match:
            return (*bucket(request), request.memory, request.cpus)
        return bucket(request)

    def _place_alike(self, requests: list[Request]) -> None:
        """Place machines that want the same GPUs; larger memory comes first."""
        need = requests[0].need
        hosts = [
            state
            for state in self.board.usable
            if asked_for(state, requests[0]) and worth_trying(state, need)
        ]
        if requests[0].together:
            self._place_together(requests, hosts)
            return
        heap = [self._entry(state, requests[0]) for state in hosts]
        heapify(heap)
        by_rank: dict[float, HostState] = {state.rank: state for state in hosts}
        too_small: list[Entry] = []
        for _, equal in groupby(requests, key=lambda r: (r.memory, r.cpus)):
            for entry in too_small:
                heappush(heap, entry)
            too_small = []
            for request in equal:
                self._place_one(request, heap, by_rank, too_small)

    def _place_together(self, requests: list[Request], hosts: list[HostState]) -> None:
        """Place all machines of a group on one host, or none of them."""
        first = requests[0]
        if first.company or any(first.group in state.members for state in self.board.usable):
            hosts = [state for state in hosts if state.has_company(first)]
        for state in sorted(hosts, key=lambda state: self._entry(state, first)):
            if state.add_all(requests):
                self.board.homes |= dict.fromkeys((request.machine for request in requests), state)
                return

    def _place_one(
        self,
        request: Request,
        heap: list[Entry],
        by_rank: Mapping[float, HostState],
        too_small: list[Entry],
    ) -> None:
        while heap:
            entry = heappop(heap)
            state = by_rank[entry[-1]]
            if request.cpus > state.host.cpus or not state.memory_allows(request):
                too_small.append(entry)
            elif state.add(request):
                self.board.homes[request.machine] = state
                if not request.spread:
                    heappush(heap, self._entry(state, request))
                return

    def _entry(self, state: HostState, request: Request) -> Entry:
        """Return a host's place in the heap: the lowest is the best for the next machine."""
        scores = score(state, request.need)
        if self.strategy.match and request.framebuffer_mib:
            place = 2 - self.strategy.match
            scores = (*scores[:place], _mismatch(state, request), *scores[place:])
        return (*scores, state.rank)


def _mismatch(state: HostState, request: Request) -> float:
    """Return how far a host's memory per free framebuffer is from what the machine asks for."""
    there = state.reservable / 2**20 / max(1, state.spare)
    asked = request.memory / 2**20 / request.framebuffer_mib
    return abs(math.log(max(there, 1e-9) / asked))


def _thrift(request: Request) -> tuple[float | str, ...]:
    """Return the sort key that puts machines with little memory per framebuffer first."""
    return (request.memory / max(1, request.framebuffer_mib), *difficulty(request))


def difficulty(request: Request) -> tuple[float | str, ...]:
    """Return the sort key that puts machines that are hard to place first."""
    return (*bucket(request), -request.memory, -request.cpus)


def bucket(request: Request) -> tuple[float | str, ...]:
    """Return what machines have in common that can share one heap of hosts."""
    return (*_kind(request.need), *_company(request))


def _company(request: Request) -> tuple[int, str]:
    """Return what sets a machine's hosts apart from those of others; hard wishes come first."""
    if request.together:
        return 0, request.group
    if request.spread:
        return 1, request.group
    return (2, request.host) if request.host is not None else (3, "")


def _kind(need: Need | None) -> tuple[float | str, ...]:
    if isinstance(need, PinnedNeed):
        return 0, 0, 0, f"{need.host}/{need.address}"
    if isinstance(need, ModelNeed):
        # Who asks for no label may be given a card that has one, hence comes later.
        return 1, int(need.label is None), -need.count, f"{need.model.key} {need.label or ''}"
    if isinstance(need, GroupNeed):
        return 2, 0, 0, need.group
    if isinstance(need, VgpuNeed):
        profile = need.profile
        phase = 3 if need.group else 4
        return phase, -profile.framebuffer_mib, -need.count, need.group or profile.name
    return 5, 0, 0, ""


def worth_trying(state: HostState, need: Need | None) -> bool:
    """Whether the host has the kind of card at all; cheap, asked of every host."""
    if isinstance(need, PinnedNeed):
        return state.host.name == need.host
    if isinstance(need, VgpuNeed):
        return offers(state.host, need) and bool(state.shared.loads_for(need))
    if isinstance(need, ModelNeed):
        return len(state.free_cards(need)) >= need.count
    return True


def score(state: HostState, need: Need | None) -> Score:
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
