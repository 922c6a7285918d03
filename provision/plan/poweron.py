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


@dataclass(frozen=True, slots=True)
class Deck:
    """A host's shared cards, by address, and its policy."""

    policy: AssignmentPolicy
    loads: tuple[CardLoad, ...]

    def able(self, shape: Shape) -> list[int]:
        """Return the indices of the cards that have the profile, whatever they hold."""
        return [
            i
            for i, load in enumerate(self.loads)
            if load.model == shape.model
            and (load.model or load.framebuffer_mib >= shape.profile.framebuffer_mib)
        ]


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


def power_on(deck: Deck, shapes: Iterable[Shape]) -> tuple[tuple[CardLoad, ...], Picks] | None:
    """Power machines on one after the other as the host would.

    None if it refuses one, or chooses a card that the machine must not have.
    """
    loads = list(deck.loads)
    index = {load.address: i for i, load in enumerate(loads)}
    picks = []
    ties: dict[str, int] = {}
    for shape in shapes:
        able, mine = deck.able(shape), []
        for _ in range(shape.count):
            card = choose([loads[i] for i in able], shape.profile, deck.policy)
            if card is None:
                return None
            chosen = index[card.address]
            loads[chosen] = card.with_profile(shape.profile.name)
            mine.append(chosen)
            if shape.apart:
                able.remove(chosen)
            if shape.beside and card.address not in shape.beside:
                return None
            if shape.tie and ties.setdefault(shape.tie, chosen) != chosen:
                return None
        picks.append(tuple(mine))
    return tuple(loads), tuple(picks)


@lru_cache(maxsize=8192)
def arrange(deck: Deck, shapes: tuple[Shape, ...]) -> Arrangement | None:
    """Return an order in which the host accepts all the shapes; None where none was found.

    Args:
        deck: The cards before any of them.
        shapes: The largest first; equal hosts are answered once if they ask alike.
    """
    if not _may_fit(deck, shapes):
        return None
    for order in dict.fromkeys(_orders(deck, shapes)):
        result = power_on(deck, (shapes[i] for i in order))
        if result is not None:
            return Arrangement(order, result[1], result[0])
    return None


def _may_fit(deck: Deck, shapes: Sequence[Shape]) -> bool:
    """Whether the cards could hold all shapes if *we* chose them; quick, and never too strict.

    In sameSize mode each profile fills cards of its own, so whole cards are counted. In the
    other modes only a simulation can tell, but framebuffers and slices must add up.
    """
    if {load.vgpu_mode for load in deck.loads} == {VgpuMode.SAME_SIZE}:
        to_open = sum(_cards_to_open(deck, shape, n) for shape, n in _counted(shapes))
        return to_open <= sum(not load.profiles for load in deck.loads)
    wanted = sum(shape.profile.framebuffer_mib * shape.count for shape in shapes)
    room_left = sum(map(_free_framebuffer, deck.loads))
    return wanted <= room_left and _enough_slices(deck, shapes)


def _held(load: CardLoad) -> list[Profile]:
    found = (catalogue().profile(name) for name in load.profiles)
    return [entry[1] for entry in found if entry]


def _free_framebuffer(load: CardLoad) -> int:
    return load.framebuffer_mib - sum(profile.framebuffer_mib for profile in _held(load))


def _enough_slices(deck: Deck, shapes: Sequence[Shape]) -> bool:
    """Whether the compute slices of the MIG cards are enough for the MIG-backed shapes."""
    wanted = sum(shape.profile.compute_slices * shape.count for shape in shapes)
    there = 0
    for load in deck.loads:
        model = catalogue().model(load.model)
        if load.vgpu_mode is not VgpuMode.MIG:
            continue
        if model is None or model.mig is None:
            return True
        there += model.mig.compute_slices - sum(p.compute_slices for p in _held(load))
    return wanted <= there


def _cards_to_open(deck: Deck, shape: Shape, count: int) -> int:
    """Return how many empty cards `count` vGPUs need beyond those already locked to them."""
    loads = [deck.loads[i] for i in deck.able(shape)]
    locked = sum(room(load, shape.profile) for load in loads if load.profiles)
    empty = max((room(load, shape.profile) for load in loads if not load.profiles), default=0)
    missing = max(0, count - locked)
    if missing and not empty:
        return len(deck.loads) + 1
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
        openers += alike[: _cards_to_open(deck, kind, count)]
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
