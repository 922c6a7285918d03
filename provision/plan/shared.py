"""The shared cards of one host while a plan fills them.

vSphere lets nobody choose the card of a vGPU: the host does, at power-on, by its policy. So a
host's vGPU machines are kept as a queue, and a machine is accepted only if there is an order of
power-ons in which the host itself finds room for every one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from provision.gpu.capacity import CardLoad
from provision.gpu.catalogue import stem_of
from provision.gpu.types import CardMode
from provision.plan.model import CardChoice
from provision.plan.needs import VgpuNeed, framebuffer_mib, model_of
from provision.plan.poweron import Deck, Outlook, Shape, arrange, outlook, power_on_one
from provision.plan.request import Request
from provision.plan.snapshot import Card, Host

Choices = dict[str, tuple[CardChoice, ...]]
# A vGPU that a host shows without its profile: the card takes no other beside it.
UNSEEN = "a profile that the host does not tell"


def could_hold(card: Card, need: VgpuNeed) -> bool:
    """Whether the profile is one of this card's, whatever mode and load the card has."""
    model = model_of(card)
    if need.model is None:
        return model is None and framebuffer_mib(card) >= need.profile.framebuffer_mib
    return model is need.model


def offers(host: Host, need: VgpuNeed) -> bool:
    """Whether the host offers the profile, or the group, to a VM with that many of them."""
    if not (host.shared_direct and host.vgpu_manager):
        return False
    if need.group is not None:
        return any(group.name == need.group for group in host.device_groups)
    stem = stem_of(need.profile.name)
    offered = not host.profiles or any(stem_of(p.name) == stem for p in host.profiles)
    return offered and need.count <= host.max_vgpus_per_vm


def is_shared(card: Card) -> bool:
    """Whether a card can be shared now: one that leaves passthrough may wait for a reboot."""
    return card.mode is CardMode.SHARED and card.passthrough_active


def deck_of(host: Host) -> Deck:
    """Return a host's shared cards with what they hold now."""
    cards = sorted(filter(is_shared, host.cards), key=lambda card: card.address)
    return Deck(host.policy, tuple(load_of(card) for card in cards))


def load_of(card: Card) -> CardLoad:
    """Return what a shared card holds now."""
    held = tuple(use.profile or UNSEEN for use in card.uses)
    model = model_of(card)
    key = model.key if model else ""
    return CardLoad(card.address, framebuffer_mib(card), card.vgpu_mode, held, key)


def shape_of(need: VgpuNeed) -> Shape:
    """Return what a need is to a host's cards."""
    model = need.model.key if need.model else ""
    return Shape(need.profile, model, need.count, apart=need.group is not None)


def _tied(shape: Shape, request: Request, host: Host) -> Shape:
    """Return the shape of a machine whose group must share a card of this host."""
    held = {card for place in request.company if place.host == host.id for card in place.cards}
    return replace(shape, tie=request.group, beside=tuple(sorted(held)))


@dataclass(slots=True)
class SharedCards:
    """A host's shared cards and the vGPU machines planned on them.

    Attributes:
        host: As the snapshot has it.
        base: The cards before the plan.
        now: The cards after the planned power-ons.
        queue: The planned machines and their shapes, in the order of their power-on.
        chosen: The cards that the host will choose for each of them.
        steps: How many power-ons may be tried in search of an order that the host accepts;
            without any, only the orders that nearly always do are tried.
    """

    host: Host
    base: Deck
    now: Deck
    queue: tuple[tuple[Request, Shape], ...] = ()
    chosen: Choices = field(default_factory=dict)
    steps: int = 0

    @classmethod
    def of(cls, host: Host, steps: int = 0) -> SharedCards:
        """Return the cards as they are before the plan."""
        deck = deck_of(host)
        return cls(host, deck, deck, steps=steps)

    def copy(self) -> SharedCards:
        """Return the same, to be changed without changing this."""
        return replace(self, chosen=dict(self.chosen))

    def loads_for(self, need: VgpuNeed) -> list[CardLoad]:
        """Return the loads of the cards that have the profile."""
        return [self.now.loads[i] for i in self.now.able(shape_of(need))]

    def outlook(self, need: VgpuNeed) -> Outlook:
        """Return what is left for this need after what is planned."""
        return outlook(self.now, shape_of(need))

    def add(self, request: Request, need: VgpuNeed) -> bool:
        """Plan the machine on this host; False, and nothing changed, where it does not fit.

        At the end of the queue if the host then accepts it, else in another order.
        """
        if not offers(self.host, need):
            return False
        shape = shape_of(need)
        if request.one_card:
            shape = _tied(shape, request, self.host)
        result = power_on_one(self.now, shape)
        if result is None or not self._keeps_ties(shape, result[1]):
            return self._add_in_another_order((*self.queue, (request, shape)))
        self.now, picks = result
        self.queue = (*self.queue, (request, shape))
        self.chosen[request.machine] = self._choices(shape, picks)
        return True

    def _keeps_ties(self, shape: Shape, picks: tuple[int, ...]) -> bool:
        """Whether these cards are those of the planned machines that it is tied to."""
        if not shape.tie:
            return True
        mine = {self.base.loads[i].address for i in picks}
        return all(
            {choice.address for choice in self.chosen[request.machine]} == mine
            for request, other in self.queue
            if other.tie == shape.tie
        )

    def _add_in_another_order(self, queue: tuple[tuple[Request, Shape], ...]) -> bool:
        down = sorted(queue, key=lambda entry: _size(entry[1]), reverse=True)
        found = arrange(self.base, tuple(shape for _, shape in down), self.steps)
        if found is None:
            return False
        self.queue = tuple(down[i] for i in found.order)
        self.now = replace(self.base, loads=found.loads)
        self.chosen = {
            request.machine: self._choices(shape, picks)
            for (request, shape), picks in zip(self.queue, found.picks, strict=True)
        }
        return True

    def _choices(self, shape: Shape, picks: tuple[int, ...]) -> tuple[CardChoice, ...]:
        name = self.host.name
        return tuple(
            CardChoice(name, self.base.loads[i].address, shape.profile.name) for i in picks
        )


def _size(shape: Shape) -> tuple[int, str, int]:
    return shape.profile.framebuffer_mib, shape.profile.name, shape.count
