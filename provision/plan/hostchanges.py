"""Changes to hosts that may make machines fit; `provision.plan.remedies` tries them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from provision.gpu.types import AssignmentPolicy, CardMode
from provision.plan.hoststate import is_ready
from provision.plan.names import listed
from provision.plan.needs import ModelNeed, Need, PinnedNeed, VgpuNeed
from provision.plan.refusals import Reach
from provision.plan.shared import could_hold
from provision.plan.snapshot import Card, Connection, Host


@dataclass(frozen=True, slots=True)
class HostChange:
    """A change to single hosts.

    Attributes:
        codes: The refusals that it may be an answer to.
        words: What to do, with `{hosts}`, `{network}` and `{datastore}` in it.
        apply: Returns the host after the change; None where it does not concern the host.
    """

    codes: frozenset[str]
    words: str
    apply: Callable[[Host, Need | None, Reach], Host | None]

    def text(self, hosts: Iterable[Host], reach: Reach) -> str:
        """Return what to do to these hosts."""
        return self.words.format(
            hosts=listed(host.name for host in hosts),
            network=reach.network.name if reach.network else "",
            datastore=reach.datastore.name if reach.datastore else "",
        )


def consolidated(host: Host, _need: Need | None = None, _reach: Reach | None = None) -> Host | None:
    """Return the host with the policy consolidation; None where it has it already."""
    if host.policy is AssignmentPolicy.CONSOLIDATION:
        return None
    return replace(host, policy=AssignmentPolicy.CONSOLIDATION)


def _reboot(host: Host, _need: Need | None, _reach: Reach) -> Host | None:
    if all(card.passthrough_active for card in host.cards):
        return None
    return replace(host, cards=tuple(replace(card, passthrough_active=True) for card in host.cards))


def _share(host: Host, need: Need | None, _reach: Reach) -> Host | None:
    """Return the host in shared direct mode, the cards that have the profile shared."""
    if not isinstance(need, VgpuNeed):
        return None
    cards = tuple(
        replace(card, mode=CardMode.SHARED) if could_hold(card, need) and not card.uses else card
        for card in host.cards
    )
    return replace(host, shared_direct=True, cards=cards)


def _pass_through(host: Host, need: Need | None, _reach: Reach) -> Host | None:
    if not isinstance(need, ModelNeed | PinnedNeed):
        return None
    return replace(host, cards=tuple(_passed_through(card, need) for card in host.cards))


def _passed_through(card: Card, need: ModelNeed | PinnedNeed) -> Card:
    if card.uses or not need.means(card):
        return card
    return replace(card, mode=CardMode.PASSTHROUGH, passthrough_active=True)


def _label(host: Host, need: Need | None, _reach: Reach) -> Host | None:
    """Return the host with the wanted label on its free cards that have none."""
    if not isinstance(need, ModelNeed) or need.label is None:
        return None
    plain = replace(need, label=None)
    cards = tuple(
        replace(card, label=need.label)
        if plain.means(card) and is_ready(card) and card.label is None and not card.uses
        else card
        for card in host.cards
    )
    return replace(host, cards=cards) if cards != host.cards else None


def _bring_back(host: Host, _need: Need | None, _reach: Reach) -> Host | None:
    return replace(host, connection=Connection.CONNECTED, in_maintenance=False)


def _wire(host: Host, _need: Need | None, reach: Reach) -> Host | None:
    network = reach.network
    return None if network is None else replace(host, networks=(*host.networks, network.id))


def _mount(host: Host, _need: Need | None, reach: Reach) -> Host | None:
    store = reach.datastore
    return None if store is None else replace(host, datastores=(*host.datastores, store.id))


def _manage(host: Host, _need: Need | None, _reach: Reach) -> Host | None:
    return None if host.vgpu_manager else replace(host, vgpu_manager=True)


HOST_CHANGES = (
    HostChange(
        frozenset({"gpu-profile-locked", "gpu-capacity", "affinity"}),
        "switch {hosts} to consolidation",
        consolidated,
    ),
    HostChange(
        frozenset({"passthrough-inactive"}),
        "reboot {hosts}, so that the changed passthrough setting becomes active",
        _reboot,
    ),
    HostChange(
        frozenset({"graphics-mode"}),
        "set {hosts} to shared direct with `vdl host prepare`",
        _share,
    ),
    HostChange(
        frozenset({"passthrough-inactive"}),
        "set the cards of {hosts} to passthrough with `vdl host prepare`",
        _pass_through,
    ),
    HostChange(
        frozenset({"gpu-unknown", "gpu-in-use", "gpu-capacity"}),
        "put the label on free cards of {hosts} with `vdl host prepare --label`",
        _label,
    ),
    HostChange(
        frozenset({"host-unavailable"}),
        "connect {hosts} and take it out of maintenance mode",
        _bring_back,
    ),
    HostChange(frozenset({"network-missing"}), "connect {hosts} to the network {network}", _wire),
    HostChange(
        frozenset({"datastore-missing"}), "give {hosts} a way to the datastore {datastore}", _mount
    ),
    HostChange(
        frozenset({"vgpu-manager-missing"}), "install NVIDIA's vGPU manager on {hosts}", _manage
    ),
)
