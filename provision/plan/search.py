"""Looking for a place for every machine of a small lab by trying, where the fast way found none.

A depth-first search over the hosts of each machine, bounded in work: what it finds is sure, what
it does not find may exist in labs that are larger than `MOST_MACHINES` or take more trials.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from itertools import groupby

from provision.plan.greedy import difficulty, score, worth_trying
from provision.plan.hoststate import HostState
from provision.plan.needs import PinnedNeed, VgpuNeed
from provision.plan.poweron import may_fit
from provision.plan.problem import Board, Problem, asked_for
from provision.plan.request import Request
from provision.plan.shared import shape_of
from provision.plan.snapshot import Host

MOST_MACHINES = 16
MOST_HOSTS = 16
# Trials of a machine on a host, and of power-ons in search of the order of one host.
TRIALS = 1_500
STEPS = 300

Unit = tuple[Request, ...]
"""Machines that must go to one host: those of a group that stays together, else one alone."""


def search(problem: Problem) -> Board | None:
    """Return a board on which every machine has a host; None where none was found."""
    if len(problem.requests) > MOST_MACHINES or len(problem.hosts) > MOST_HOSTS:
        return None
    return _Search(problem).run()


class _Search:
    def __init__(self, problem: Problem) -> None:
        self.board = Board(problem, STEPS)
        order = sorted(problem.requests, key=difficulty)
        self.fixed = [r for r in order if r.home is not None and not r.movable]
        self.units = _units([r for r in order if r.home is None or r.movable])
        for request in self.fixed:
            self.board.stays(request)
        self.states = {state.host.id: state for state in self.board.usable}
        self.kinds = _kinds(problem)
        self.chosen: list[str] = []
        self.dead: set[Hashable] = set()
        self.trials = TRIALS

    def run(self) -> Board | None:
        all_stay = len(self.board.homes) == len(self.fixed)
        if not (all_stay and self._may_fit() and self._place()):
            return None
        board = self.board
        board.states |= self.states
        board.homes = {name: board.states[state.host.id] for name, state in board.homes.items()}
        for unit, host in zip(self.units, self.chosen, strict=True):
            board.homes |= dict.fromkeys((request.machine for request in unit), self.states[host])
        return board

    def _may_fit(self) -> bool:
        """Whether sums and single machines leave any hope; quick, and never too strict."""
        requests = [request for unit in self.units for request in unit]
        needs = [r.need for r in requests if isinstance(r.need, VgpuNeed)]
        states = self.states.values()
        loads = tuple(load for state in states for load in state.shared.now.loads)
        return (
            all(any(s.copy().add_all(unit) for s in self._hosts(unit)) for unit in self.units)
            and sum(request.memory for request in requests) <= sum(s.reservable for s in states)
            and may_fit(loads, sorted(map(shape_of, needs), key=str))
        )

    def _place(self) -> bool:
        """Place the units that have no host yet; False, and nothing changed, if that fails."""
        if len(self.chosen) == len(self.units):
            return True
        unit = self.units[len(self.chosen)]
        signatures = {name: self._signature(state) for name, state in self.states.items()}
        key = len(self.chosen), frozenset(Counter(signatures.values()).items())
        if key in self.dead:
            return False
        tried: set[Hashable] = set()
        for state in self._hosts(unit):
            signature = signatures[state.host.id]
            if signature not in tried and self.trials > 0:
                tried.add(signature)
                self.trials -= 1
                if self._place_on(state, unit):
                    return True
        self.dead.add(key)
        return False

    def _place_on(self, state: HostState, unit: Unit) -> bool:
        after = state.copy()
        if not after.add_all(unit):
            return False
        self.states[state.host.id] = after
        self.chosen.append(state.host.id)
        if self._place():
            return True
        self.chosen.pop()
        self.states[state.host.id] = state
        return False

    def _hosts(self, unit: Unit) -> list[HostState]:
        """Return the hosts to try, the most promising first."""
        first = unit[0]
        states = [s for s in self.states.values() if asked_for(s, first)]
        if first.together and (joined := [s for s in states if s.has_company(first)]):
            states = joined
        return sorted(
            (state for state in states if worth_trying(state, first.need)),
            key=lambda state: (
                state.host.id != first.home,
                score(state, first.need),
                state.rank,
            ),
        )

    def _signature(self, state: HostState) -> Hashable:
        """Return what decides which machines a host still takes; equal hosts have equal ones."""
        shapes = frozenset(Counter(shape for _, shape in state.shared.queue).items())
        taken = state.taken, state.groups, state.members
        return self.kinds[state.host.id], state.reservable, shapes, taken


def _units(newcomers: Sequence[Request]) -> list[Unit]:
    """Return the machines, those of a group that stays together as one."""
    return [
        tuple(unit)
        for _, unit in groupby(newcomers, key=lambda r: r.group if r.together else r.machine)
    ]


def _kinds(problem: Problem) -> dict[str, Host]:
    """Return each host's kind: itself where a machine may mean it, else without its name."""
    meant: set[str | None] = set()
    for request in problem.requests:
        meant |= {request.host, request.home, *(place.host for place in request.company)}
        if isinstance(request.need, PinnedNeed):
            meant.add(request.need.host)
    return {
        host.id: host if {host.id, host.name} & meant else replace(host, id="", name="")
        for host in problem.hosts
    }
