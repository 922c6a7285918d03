"""The shared cards of one host while a plan fills them.

vSphere lets nobody choose the card of a vGPU: the host does, at power-on, by its policy. So a
host's vGPU machines are kept as a queue, and a machine is accepted only if there is an order of
power-ons in which the host itself finds room for every one of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from provision.gpu.capacity import CardLoad, choose, remaining
from provision.gpu.catalogue import Profile, stem_of
from provision.gpu.types import CardMode, VgpuMode
from provision.plan.model import CardChoice
from provision.plan.needs import VgpuNeed, framebuffer_mib, model_of
from provision.plan.request import Request
from provision.plan.snapshot import Card, Host

Loads = dict[str, CardLoad]
Choices = dict[str, tuple[CardChoice, ...]]
# What makes two needs the same to a card: profile and model.
Kind = tuple[str, str]


@lru_cache(maxsize=65536)
def _room(framebuffer: int, mode: VgpuMode, held: tuple[str, ...], profile: Profile) -> int:
    return remaining(CardLoad("", framebuffer, mode, held), profile)


def room(load: CardLoad, profile: Profile) -> int:
    """Return how many more vGPUs of a profile a card takes; remembered for equal cards."""
    return _room(load.framebuffer_mib, load.vgpu_mode, load.profiles, profile)


def could_hold(card: Card, need: VgpuNeed) -> bool:
    """Whether the profile is one of this card's, whatever mode and load the card has."""
    model = model_of(card)
    if need.model is None:
        return model is None and framebuffer_mib(card) >= need.profile.framebuffer_mib
    return model is need.model


def offers(host: Host, need: VgpuNeed) -> bool:
    """Whether the host offers the profile, or the group, to a VM with that many of them."""
    if not host.shared_direct:
        return False
    if need.group is not None:
        return any(group.name == need.group for group in host.device_groups)
    stem = stem_of(need.profile.name)
    offered = not host.profiles or any(stem_of(p.name) == stem for p in host.profiles)
    return offered and need.count <= host.max_vgpus_per_vm


def loads_of(host: Host) -> Loads:
    """Return what each shared card of a host holds now."""
    return {
        card.address: CardLoad(
            card.address,
            framebuffer_mib(card),
            card.vgpu_mode,
            tuple(use.profile for use in card.uses if use.profile),
        )
        for card in host.cards
        if card.mode is CardMode.SHARED
    }


@dataclass(slots=True)
class SharedCards:
    """A host's shared cards and the vGPU machines planned on them.

    Attributes:
        host: As the snapshot has it.
        base: Load of each card before the plan.
        loads: Load of each card after the planned power-ons.
        queue: The planned machines in the order of their power-on.
        chosen: The cards that the host will choose for each of them.
    """

    host: Host
    base: Loads
    loads: Loads
    queue: tuple[Request, ...] = ()
    chosen: Choices = field(default_factory=dict)
    eligible: dict[Kind, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, host: Host) -> SharedCards:
        """Return the cards as they are before the plan."""
        loads = loads_of(host)
        return cls(host, loads, loads)

    def copy(self) -> SharedCards:
        """Return cards that can be filled further without changing these."""
        return replace(self)

    def cards_for(self, need: VgpuNeed) -> tuple[str, ...]:
        """Return the addresses of the cards that have the profile."""
        kind = _kind(need)
        if kind not in self.eligible:
            self.eligible[kind] = tuple(
                card.address
                for card in self.host.cards
                if card.address in self.base and could_hold(card, need)
            )
        return self.eligible[kind]

    def room_for(self, need: VgpuNeed) -> int:
        """Return how many more vGPUs of this kind fit after what is planned."""
        return sum(room(self.loads[address], need.profile) for address in self.cards_for(need))

    def opens_a_card(self, need: VgpuNeed) -> bool:
        """Whether the host would put the next vGPU of this kind on an empty card."""
        card = choose([self.loads[a] for a in self.cards_for(need)], need.profile, self.host.policy)
        return card is None or not card.profiles

    def add(self, request: Request, need: VgpuNeed) -> bool:
        """Plan the machine on this host; False, and nothing changed, where it does not fit."""
        if not offers(self.host, need):
            return False
        queue = (*self.queue, request)
        result = self._power_on_all((request,), self.loads)
        if result is not None:
            loads, chosen = result
            self.loads, self.queue, self.chosen = loads, queue, self.chosen | chosen
            return True
        if not self._may_fit(queue):
            return False
        for order in self._orders(queue):
            result = self._power_on_all(order, self.base)
            if result is not None:
                (self.loads, self.chosen), self.queue = result, order
                return True
        return False

    def _power_on_all(self, queue: Iterable[Request], loads: Loads) -> tuple[Loads, Choices] | None:
        """Power machines on one after the other as the host would; None if it refuses one."""
        loads, chosen = dict(loads), {}
        for request in queue:
            choices = self._power_on(request, loads)
            if choices is None:
                return None
            chosen[request.machine] = choices
        return loads, chosen

    def _power_on(self, request: Request, loads: Loads) -> tuple[CardChoice, ...] | None:
        need = _vgpus(request)
        eligible = list(self.cards_for(need))
        choices: list[CardChoice] = []
        for _ in range(need.count):
            card = choose([loads[a] for a in eligible], need.profile, self.host.policy)
            if card is None:
                return None
            loads[card.address] = card.with_profile(need.profile.name)
            if need.group:
                eligible.remove(card.address)
            choices.append(CardChoice(self.host.name, card.address, need.profile.name))
        return tuple(choices)

    def _may_fit(self, queue: Sequence[Request]) -> bool:
        """Whether the cards could hold all of the queue if *we* chose them.

        In sameSize mode each profile fills cards of its own, so whole cards are counted. Where
        another mode is in play, only trying can tell.
        """
        modes = {load.vgpu_mode for load in self.base.values()}
        if modes != {VgpuMode.SAME_SIZE}:
            return True
        to_open = sum(self._cards_to_open(need, n) for need, n in _wanted(queue))
        return to_open <= sum(not load.profiles for load in self.base.values())

    def _cards_to_open(self, need: VgpuNeed, count: int) -> int:
        """Return how many empty cards `count` vGPUs need beyond those already locked to them."""
        loads = [self.base[address] for address in self.cards_for(need)]
        locked = sum(room(load, need.profile) for load in loads if load.profiles)
        empty = max((room(load, need.profile) for load in loads if not load.profiles), default=0)
        missing = max(0, count - locked)
        if missing and not empty:
            return len(self.base) + 1
        return math.ceil(missing / empty) if missing else 0

    def _orders(self, queue: tuple[Request, ...]) -> Iterator[tuple[Request, ...]]:
        """Yield orders of power-on that are worth trying, the most promising first.

        A host that spreads puts each new vGPU on an empty card as long as there is one. So
        first come as many machines of each profile as the profile needs cards, each opening
        one; the others then find cards of their own profile open.
        """
        down = sorted(queue, key=_size, reverse=True)
        openers: list[Request] = []
        for need, count in _wanted(down):
            alike = [r for r in down if _kind(_vgpus(r)) == _kind(need)]
            alike.sort(key=lambda r: _vgpus(r).count)
            openers += alike[: self._cards_to_open(need, count)]
        openers.sort(key=lambda r: _vgpus(r).count)
        first = {request.machine for request in openers}
        yield (*openers, *(request for request in down if request.machine not in first))
        yield tuple(down)
        yield tuple(reversed(down))


def _vgpus(request: Request) -> VgpuNeed:
    if not isinstance(request.need, VgpuNeed):
        raise TypeError(f"{request.machine} asks for no vGPU")
    return request.need


def _kind(need: VgpuNeed) -> Kind:
    return need.profile.name, need.model.key if need.model else ""


def _size(request: Request) -> tuple[int, int]:
    need = _vgpus(request)
    return need.profile.framebuffer_mib, need.count


def _wanted(queue: Sequence[Request]) -> list[tuple[VgpuNeed, int]]:
    """Return how many vGPUs of each kind a queue asks for, in the order of the queue."""
    counts: Counter[Kind] = Counter()
    needs: dict[Kind, VgpuNeed] = {}
    for need in map(_vgpus, queue):
        counts[_kind(need)] += need.count
        needs.setdefault(_kind(need), need)
    return [(need, counts[kind]) for kind, need in needs.items()]
