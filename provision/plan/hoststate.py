"""One host while a plan fills it: its memory, its passthrough cards, its shared cards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace

from provision.gpu.types import CardMode
from provision.plan.model import CardChoice
from provision.plan.needs import (
    GroupNeed,
    ModelNeed,
    PinnedNeed,
    VgpuNeed,
    framebuffer_mib,
)
from provision.plan.poweron import free_framebuffer
from provision.plan.request import Request
from provision.plan.shared import Choices, SharedCards
from provision.plan.snapshot import Card, Host


@dataclass(slots=True)
class HostState:
    """A host, what is planned on it, and what is left.

    Attributes:
        host: As the snapshot has it.
        rank: Its place among the hosts; breaks ties.
        reservable: Bytes of memory that can still be reserved.
        free: Bytes of memory that no powered-on VM is configured with.
        spare: MiB of framebuffer that nothing holds, on cards that can be used now.
        shared: Its shared cards.
        taken: Addresses of passthrough cards that are in use or planned.
        groups: Device groups, of cards that are not known, that are in use or planned.
        whole: The passthrough cards of the planned machines.
        near: The planned machines with whole cards of one NUMA node, by node.
        members: The groups that have a planned machine here and ask for company or distance.
    """

    host: Host
    rank: int
    reservable: int
    free: int
    spare: int
    shared: SharedCards
    taken: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    whole: Choices = field(default_factory=dict)
    near: tuple[tuple[int, Request], ...] = ()
    members: frozenset[str] = frozenset()

    @classmethod
    def of(cls, host: Host, rank: int, configured: int, steps: int = 0) -> HostState:
        """Return a host as it is before the plan.

        Args:
            host: As the snapshot has it.
            rank: Its place among the hosts.
            configured: Bytes of memory that its powered-on VMs are configured with.
            steps: How many power-ons may be tried in search of an order that it accepts.
        """
        taken = frozenset(
            card.address for card in host.cards if any(not use.profile for use in card.uses)
        )
        shared = SharedCards.of(host, steps)
        whole = (card for card in host.cards if is_ready(card) and card.address not in taken)
        return cls(
            host=host,
            rank=rank,
            reservable=host.memory - host.memory_reserved,
            free=host.memory - max(configured, host.memory_reserved),
            spare=sum(map(framebuffer_mib, whole)) + sum(map(free_framebuffer, shared.now.loads)),
            shared=shared,
            taken=taken,
        )

    def copy(self) -> HostState:
        """Return the same, to be changed without changing this."""
        return replace(self, shared=self.shared.copy(), whole=dict(self.whole))

    def has_company(self, request: Request) -> bool:
        """Whether a machine of the request's group is, or will be, on this host."""
        return request.group in self.members or any(
            place.host == self.host.id for place in request.company
        )

    def add_all(self, requests: Iterable[Request]) -> bool:
        """Plan all of these machines on this host; False, and nothing changed, if one is left."""
        trial = self.copy()
        if not all(trial.add(request) for request in requests):
            return False
        for each in fields(self):
            setattr(self, each.name, getattr(trial, each.name))
        return True

    def memory_allows(self, request: Request) -> bool:
        """Whether the machine's memory can be reserved."""
        return request.memory <= self.reservable

    def cards_of(self, machine: str) -> tuple[CardChoice, ...]:
        """Return the cards that a planned machine gets."""
        return self.whole.get(machine) or self.shared.chosen.get(machine, ())

    def add(self, request: Request) -> bool:
        """Plan the machine on this host; False, and nothing changed, where it does not fit."""
        if request.cpus > self.host.cpus or not self.memory_allows(request):
            return False
        if not self._take_cards(request):
            return False
        self.reservable -= request.memory
        self.free -= request.memory
        self.spare -= request.framebuffer_mib
        if request.together or request.spread:
            self.members |= {request.group}
        return True

    def free_cards(self, need: ModelNeed, request: Request | None = None) -> list[Card]:
        """Return the free passthrough cards of a model in the order in which to take them.

        Cards with a label come last where the machine asks for none: others may ask for it.
        A node with enough cards comes first, so that a machine's cards share a node where they
        can; then one with room for the machine's CPUs and memory beside those planned there;
        then the one with the fewest cards, so that larger nodes stay whole.
        """
        cards = [
            card
            for card in self.host.cards
            if is_ready(card) and card.address not in self.taken and need.means(card)
        ]
        size = Counter(card.numa_node for card in cards)
        tight = {node for node in size if request and not self._node_has_room(node, request)}
        return sorted(
            cards,
            key=lambda card: (
                need.label is None and card.label is not None,
                size[card.numa_node] < need.count,
                card.numa_node in tight,
                abs(size[card.numa_node] - need.count),
                -1 if card.numa_node is None else card.numa_node,
                card.address,
            ),
        )

    def _node_has_room(self, number: int | None, request: Request) -> bool:
        """Whether a NUMA node has room, as far as the host tells how large it is.

        What other VMs use of it is not known: the host places their memory as it sees fit.
        """
        there = [other for node, other in self.near if node == number]
        return all(
            request.cpus + sum(other.cpus for other in there) <= node.cpus
            and request.memory + sum(other.memory for other in there) <= node.memory
            for node in self.host.numa_nodes
            if node.id == number
        )

    def _take_cards(self, request: Request) -> bool:
        need = request.need
        if need is None:
            return True
        if isinstance(need, VgpuNeed):
            return self.shared.add(request, need)
        if isinstance(need, GroupNeed):
            return self._take_group(need)
        return self._take_whole(request, need)

    def _take_group(self, need: GroupNeed) -> bool:
        if not self._offers(need.group) or need.group in self.groups:
            return False
        self.groups |= {need.group}
        return True

    def _offers(self, group: str | None) -> bool:
        return group is None or any(one.name == group for one in self.host.device_groups)

    def _take_whole(self, request: Request, need: PinnedNeed | ModelNeed) -> bool:
        if isinstance(need, ModelNeed) and not self._offers(need.group):
            return False
        if isinstance(need, ModelNeed):
            addresses = [card.address for card in self.free_cards(need, request)[: need.count]]
            enough = len(addresses) == need.count
        else:
            addresses = [need.address]
            enough = self._is_free(need)
        if not enough:
            return False
        self.taken |= set(addresses)
        choices = tuple(CardChoice(self.host.name, address) for address in addresses)
        self.whole[request.machine] = choices
        nodes = {card.numa_node for card in self.host.cards if card.address in addresses}
        if len(nodes) == 1 and (node := nodes.pop()) is not None:
            self.near = (*self.near, (node, request))
        return True

    def _is_free(self, need: PinnedNeed) -> bool:
        return need.host == self.host.name and any(
            need.means(card) and is_ready(card) and card.address not in self.taken
            for card in self.host.cards
        )


def is_ready(card: Card) -> bool:
    """Whether a card can be passed through now, without a reboot of its host."""
    return card.mode is CardMode.PASSTHROUGH and card.passthrough_active
