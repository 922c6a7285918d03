"""Which cards a host will choose for a sequence of vGPU machines, and which sequence it accepts.

Pure functions of cards and shapes, so that equal hosts share their answers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from provision.gpu.capacity import CardLoad, choose, remaining
from provision.gpu.catalogue import Profile, catalogue
from provision.gpu.types import AssignmentPolicy, VgpuMode


@dataclass(frozen=True, slots=True)
class Shape:
    """What a machine's vGPUs are to a host.

    Attributes:
        profile: Of each of them.
        model: Key of the card model that has the profile; "" for cards nobody knows.
        count: How many.
        apart: Whether each takes a card of its own.
        tie: Machines with the same one must get the same card; "" for those that need not.
        beside: Addresses of the cards that it must get one of; empty where any will do.
    """

    profile: Profile
    model: str
    count: int
    apart: bool = False
    tie: str = ""
    beside: tuple[str, ...] = ()

    def __hash__(self) -> int:  # enough to tell shapes apart
        return hash((self.profile, self.count, self.tie))


def has_profile(load: CardLoad, shape: Shape) -> bool:
    """Whether the profile is one of the card's, whatever it holds."""
    large = load.framebuffer_mib >= shape.profile.framebuffer_mib
    return load.model == shape.model and bool(load.model or large)


@dataclass(frozen=True, slots=True)
class Deck:
    """A host's shared cards, by address, and its policy."""

    policy: AssignmentPolicy
    loads: tuple[CardLoad, ...]

    def __hash__(self) -> int:  # one host has one policy, so it tells little
        return hash(self.loads)

    def able(self, shape: Shape) -> list[int]:
        """Return the indices of the cards that have the profile, whatever they hold."""
        return [i for i, load in enumerate(self.loads) if has_profile(load, shape)]


Loads = tuple[CardLoad, ...]
# The indices of the cards that each machine gets.
Picks = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Arrangement:
    """An order of power-ons that a host accepts.

    Attributes:
        order: Indices of the shapes, in the order of power-on.
        picks: The cards of each, in that order.
        loads: The cards' loads afterwards.
    """

    order: tuple[int, ...]
    picks: Picks
    loads: tuple[CardLoad, ...]


@lru_cache(maxsize=65536)
def _room(card: CardLoad, profile: Profile) -> int:
    return remaining(card, profile)


def room(load: CardLoad, profile: Profile) -> int:
    """Return how many more vGPUs of a profile a card takes; remembered for equal cards."""
    return _room(replace(load, address=""), profile)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a host has for the next vGPU machine of one shape.

    Attributes:
        room: How many more vGPUs of the profile the cards take.
        opens: Whether the host would put the next one on an empty card, or nowhere.
    """

    room: int
    opens: bool


@lru_cache(maxsize=16384)
def outlook(deck: Deck, shape: Shape) -> Outlook:
    """Return what the cards still have for a shape; remembered for equal hosts."""
    able = [deck.loads[i] for i in deck.able(shape)]
    card = choose(able, shape.profile, deck.policy)
    left = sum(room(load, shape.profile) for load in able)
    return Outlook(left, card is None or not card.profiles)


@lru_cache(maxsize=16384)
def power_on_one(deck: Deck, shape: Shape) -> tuple[Deck, tuple[int, ...]] | None:
    """Return the cards after one more power-on and those it took; remembered for equal hosts."""
    result = power_on(deck, (shape,))
    return (Deck(deck.policy, result[0]), result[1][0]) if result else None


def power_on(deck: Deck, shapes: Iterable[Shape]) -> tuple[Loads, Picks] | None:
    """Power machines on one after the other as the host would.

    None if it refuses one, or chooses a card that the machine must not have.
    """
    loads, picks = deck.loads, []
    ties: dict[str, int] = {}
    for shape in shapes:
        result = _one(deck, loads, shape)
        if result is None:
            return None
        loads, mine = result
        if shape.tie and ties.setdefault(shape.tie, mine[0]) != mine[0]:
            return None
        picks.append(mine)
    return loads, tuple(picks)


def _one(deck: Deck, loads: Loads, shape: Shape) -> tuple[Loads, tuple[int, ...]] | None:
    """Power one machine on; None if the host refuses it or chooses a card it must not have."""
    after, able = list(loads), deck.able(shape)
    index = {load.address: i for i, load in enumerate(loads)}
    mine: list[int] = []
    for _ in range(shape.count):
        card = choose([after[i] for i in able], shape.profile, deck.policy)
        if card is None or (shape.beside and card.address not in shape.beside):
            return None
        chosen = index[card.address]
        after[chosen] = card.with_profile(shape.profile.name)
        mine.append(chosen)
        if shape.apart:
            able.remove(chosen)
    return tuple(after), tuple(mine)


@lru_cache(maxsize=8192)
def arrange(deck: Deck, shapes: tuple[Shape, ...], steps: int = 0) -> Arrangement | None:
    """Return an order in which the host accepts all the shapes; None where none was found.

    Args:
        deck: The cards before any of them.
        shapes: The largest first; equal hosts are answered once if they ask alike.
        steps: How many power-ons may be tried beyond the orders that nearly always do.
    """
    if not may_fit(deck.loads, shapes):
        return None
    for order in dict.fromkeys(_orders(deck, shapes)):
        result = power_on(deck, (shapes[i] for i in order))
        if result is not None:
            return Arrangement(order, result[1], result[0])
    return _OrderSearch(deck, shapes, steps).run() if steps else None


class _OrderSearch:
    """Tries every order of power-on that makes a difference, as far as the steps go."""

    def __init__(self, deck: Deck, shapes: Sequence[Shape], steps: int) -> None:
        self.deck, self.shapes, self.steps = deck, shapes, steps
        self.dead: set[tuple[Loads, tuple[int, ...]]] = set()

    def run(self) -> Arrangement | None:
        return self._go(self.deck.loads, tuple(range(len(self.shapes))), (), ())

    def _go(
        self, loads: Loads, left: tuple[int, ...], order: tuple[int, ...], picks: Picks
    ) -> Arrangement | None:
        if not left:
            return Arrangement(order, picks, loads)
        if (loads, left) in self.dead:
            return None
        tried: set[Shape] = set()
        for i in left:
            if self.steps <= 0 or self.shapes[i] in tried:
                continue
            self.steps -= 1
            tried.add(self.shapes[i])
            result = _one(self.deck, loads, self.shapes[i])
            if result is None or not self._keeps_tie(i, result[1], order, picks):
                continue
            rest = tuple(other for other in left if other != i)
            if found := self._go(result[0], rest, (*order, i), (*picks, result[1])):
                return found
        self.dead.add((loads, left))
        return None

    def _keeps_tie(
        self, i: int, mine: tuple[int, ...], order: tuple[int, ...], picks: Picks
    ) -> bool:
        tie = self.shapes[i].tie
        others = zip(order, picks, strict=True)
        return not tie or all(pick == mine for j, pick in others if self.shapes[j].tie == tie)


def may_fit(loads: Loads, shapes: Sequence[Shape]) -> bool:
    """Whether the cards could hold all shapes if *we* chose them; quick, and never too strict.

    In sameSize mode each profile fills cards of its own, so whole cards are counted. In the
    other modes only a simulation can tell, but framebuffers and slices must add up.
    """
    if {load.vgpu_mode for load in loads} == {VgpuMode.SAME_SIZE}:
        to_open = sum(_cards_to_open(loads, shape, n) for shape, n in _counted(shapes))
        return to_open <= sum(not load.profiles for load in loads)
    wanted = sum(shape.profile.framebuffer_mib * shape.count for shape in shapes)
    room_left = sum(map(free_framebuffer, loads))
    return wanted <= room_left and _enough_slices(loads, shapes)


def _held(load: CardLoad) -> list[Profile]:
    found = (catalogue().profile(name) for name in load.profiles)
    return [entry[1] for entry in found if entry]


@lru_cache(maxsize=65536)
def free_framebuffer(load: CardLoad) -> int:
    """Return the MiB of framebuffer that the vGPUs of a card leave, as far as they are known."""
    return load.framebuffer_mib - sum(profile.framebuffer_mib for profile in _held(load))


def _enough_slices(loads: Loads, shapes: Sequence[Shape]) -> bool:
    """Whether the compute slices of the MIG cards are enough for the MIG-backed shapes."""
    wanted = sum(shape.profile.compute_slices * shape.count for shape in shapes)
    there = 0
    for load in loads:
        model = catalogue().model(load.model)
        if load.vgpu_mode is not VgpuMode.MIG:
            continue
        if model is None or model.mig is None:
            return True
        there += model.mig.compute_slices - sum(p.compute_slices for p in _held(load))
    return wanted <= there


def _cards_to_open(loads: Loads, shape: Shape, count: int) -> int:
    """Return how many empty cards `count` vGPUs need beyond those already locked to them."""
    able = [load for load in loads if has_profile(load, shape)]
    locked = sum(room(load, shape.profile) for load in able if load.profiles)
    empty = max((room(load, shape.profile) for load in able if not load.profiles), default=0)
    missing = max(0, count - locked)
    if missing and not empty:
        return len(loads) + 1
    return math.ceil(missing / empty) if missing else 0


def _orders(deck: Deck, shapes: Sequence[Shape]) -> Iterator[tuple[int, ...]]:
    """Yield orders of power-on that are worth trying, the most promising first.

    A host that spreads puts each new vGPU on an empty card as long as there is one. So first
    come as many machines of each profile as the profile needs cards, each opening one; the
    others then find cards of their own profile open.
    """
    openers: list[int] = []
    for kind, count in _counted(shapes):
        alike = [
            i for i, s in enumerate(shapes) if (s.profile, s.model) == (kind.profile, kind.model)
        ]
        alike.sort(key=lambda i: shapes[i].count)
        openers += alike[: _cards_to_open(deck.loads, kind, count)]
    openers.sort(key=lambda i: shapes[i].count)
    down = tuple(range(len(shapes)))
    first = set(openers)
    yield (*openers, *(i for i in down if i not in first))
    yield down
    yield down[::-1]


def _counted(shapes: Iterable[Shape]) -> list[tuple[Shape, int]]:
    """Return how many vGPUs of each profile are asked for, in the order of the shapes."""
    counts: Counter[tuple[Profile, str]] = Counter()
    kinds: dict[tuple[Profile, str], Shape] = {}
    for shape in shapes:
        counts[shape.profile, shape.model] += shape.count
        kinds.setdefault((shape.profile, shape.model), shape)
    return [(shape, counts[kind]) for kind, shape in kinds.items()]
