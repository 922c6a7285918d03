"""Which machine goes to which host, and onto which cards. Pure and deterministic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise

from provision.plan.greedy import FOR_SHORT_MEMORY, difficulty, greedy
from provision.plan.hoststate import HostState
from provision.plan.model import CardChoice
from provision.plan.problem import Board, Problem
from provision.plan.refusals import Reach, Refused, taken, unusable, why
from provision.plan.request import Request
from provision.plan.search import search
from provision.plan.snapshot import Host

# How many looks at a host or a machine further strategies may cost; each costs some ten
# microseconds, and the proposals in a finding cost as many again, some times over.
MOST_LOOKS = 40_000


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


def place(problem: Problem) -> Outcome:
    """Find a host and cards for every machine, as far as there are any.

    What fits easily is found by one look at the machines from the largest to the smallest. If
    that leaves some over, other ways are tried, and the one that fills most framebuffer counts.
    """
    board = greedy(problem)
    if len(board.homes) < len(problem.requests):
        boards = [board, *_for_short_memory(problem, board)]
        board = search(problem) or max(boards, key=Board.packed)
    return _outcome(problem, board)


def _for_short_memory(problem: Problem, board: Board) -> Iterator[Board]:
    """Yield what other strategies find, where memory keeps machines from a host."""
    missing = [r.memory for r in problem.requests if r.machine not in board.homes]
    if any(state.reservable < max(missing) for state in board.usable):
        kinds = len({(r.need, r.memory, r.cpus) for r in problem.requests})
        looks = kinds * len(problem.hosts) + len(problem.requests)
        for strategy in FOR_SHORT_MEMORY[: MOST_LOOKS // looks]:
            yield greedy(problem, strategy)


def _outcome(problem: Problem, board: Board) -> Outcome:
    order = sorted(problem.requests, key=difficulty)
    placed = tuple(
        Placed(request, state.host, state.cards_of(request.machine))
        for request in _in_power_on_order(order, board.homes)
        for state in (board.homes[request.machine],)
    )
    unplaced = tuple(r for r in problem.requests if r.machine not in board.homes)
    return Outcome(placed, unplaced, board.states, problem.reach)


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
