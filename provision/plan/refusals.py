"""Why a host does not take a machine, in the words and codes that findings use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from provision.gpu.capacity import Refusal, refusal
from provision.gpu.catalogue import stem_of
from provision.gpu.types import CardMode
from provision.plan.hoststate import HostState, is_ready
from provision.plan.names import listed
from provision.plan.needs import GroupNeed, ModelNeed, PinnedNeed, VgpuNeed, model_of
from provision.plan.request import Request
from provision.plan.shared import could_hold
from provision.plan.snapshot import Card, Connection, Datastore, Host, Network
from provision.plan.versions import newest_hardware
from provision.spec.units import Size


@dataclass(frozen=True, slots=True)
class Refused:
    """One host's reason. `text` does not name the host, so that equal reasons can be grouped."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Reach:
    """What a host must have a way to; None where there is no such object anyway.

    `hardware` is the hardware version that it must run; 0 for any.
    """

    datastore: Datastore | None = None
    network: Network | None = None
    hardware: int = 0

    def has_datastore(self, host: Host) -> bool:
        """Whether the host has a way to the datastore, told by id or by name."""
        store = self.datastore
        return store is None or bool({store.id, store.name} & set(host.datastores))

    def has_network(self, host: Host) -> bool:
        """Whether the host has a way to the network, told by id or by name."""
        network = self.network
        return network is None or bool({network.id, network.name} & set(host.networks))


# From the farthest from a fit to the nearest: a finding takes the code of the nearest host.
NEARNESS = (
    "gpu-unknown",
    "version-hardware",
    "network-missing",
    "datastore-missing",
    "cpu-capacity",
    "vgpu-manager-missing",
    "graphics-mode",
    "gpu-in-use",
    "gpu-capacity",
    "mig-geometry",
    "gpu-profile-locked",
    "passthrough-inactive",
    "host-unavailable",
    "memory-reservation",
    "affinity",
)


def unusable(host: Host, reach: Reach) -> Refused | None:
    """Return why no machine of the lab can be on this host, whatever it asks for."""
    if host.connection is not Connection.CONNECTED:
        return Refused("host-unavailable", f"is {host.connection.value}")
    if host.in_maintenance:
        return Refused("host-unavailable", "is in maintenance mode")
    if reach.datastore is not None and not reach.has_datastore(host):
        return Refused("datastore-missing", f"has no way to the datastore {reach.datastore.name}")
    if reach.network is not None and not reach.has_network(host):
        return Refused("network-missing", f"has no way to the network {reach.network.name}")
    newest = newest_hardware(host.api_version)
    if newest is not None and newest < reach.hardware:
        text = f"runs hardware versions up to {newest}, the template has {reach.hardware}"
        return Refused("version-hardware", text)
    return None


def taken(state: HostState, party: Sequence[Request]) -> int:
    """Return how many machines of a party a host takes after everything that is planned on it."""
    trial = state.copy()
    return sum(1 for _ in takewhile(trial.add, party))


def why(state: HostState, party: Sequence[Request], reach: Reach) -> Refused:
    """Return why the host does not take the machines after everything that is planned on it.

    What the host lacks for good comes before what could be made free: a host without cards is
    no nearer to a fit because it is in maintenance mode.

    Args:
        state: The host.
        party: The machine; where its group wants to stay together, all that want a host.
        reach: What every host must have a way to.
    """
    host, request = state.host, party[0]
    lacking = _lacks_cards(host, request)
    if lacking is not None:
        return lacking
    if (refused := unusable(host, reach)) is not None:
        return refused
    if request.cpus > host.cpus:
        return Refused("cpu-capacity", f"has {host.cpus} CPUs, fewer than {request.cpus}")
    if not state.memory_allows(request):
        left = Size(max(0, state.reservable))
        text = f"{request.memory // 2**20} MiB of memory wanted, {left.mib} MiB can be reserved"
        return Refused("memory-reservation", text)
    return _unwanted(state, party) or _cards_taken(state, request)


def _unwanted(state: HostState, party: Sequence[Request]) -> Refused | None:
    """Return why a host with room for a machine is not the one that its group asks for."""
    first = party[0]
    alone = replace(first, together=False, spread=False)
    if not (first.together or first.spread) or taken(state, [alone]) == 0:
        return None
    if first.spread:
        text = "has a machine of the group, each of which wants a host of its own"
        return Refused("affinity", text) if state.has_company(first) else None
    where = "on one card" if first.one_card else "together"
    fitting = taken(state, party)
    if fitting == len(party):
        return Refused("affinity", "has room, but the group's other machines are elsewhere")
    if fitting == 0:
        return Refused("affinity", f"would not put it {where} with the group's other machines")
    return Refused("affinity", f"takes {fitting} of {len(party)} {where}")


def _lacks_cards(host: Host, request: Request) -> Refused | None:
    """Return why the host has no card for the machine even when nothing is in use."""
    need = request.need
    if isinstance(need, PinnedNeed):
        return None if host.name == need.host else Refused("gpu-unknown", "is another host")
    if isinstance(need, GroupNeed | ModelNeed) and need.group is not None:
        offered = any(group.name == need.group for group in host.device_groups)
        return None if offered else Refused("gpu-unknown", f"does not offer {need.group}")
    if isinstance(need, ModelNeed):
        return None if any(map(need.means, host.cards)) else _no_such_card(host, need)
    if isinstance(need, VgpuNeed):
        return _lacks_profile(host, need)
    return None


def _no_such_card(host: Host, need: ModelNeed) -> Refused:
    same = [card for card in host.cards if model_of(card) is need.model]
    if not same:
        return Refused("gpu-unknown", f"has no {need.model.key}")
    labels = listed(sorted({card.label or "none" for card in same}))
    return Refused("gpu-unknown", f"{_cards(same)} without the label {need.label}: {labels}")


def _lacks_profile(host: Host, need: VgpuNeed) -> Refused | None:
    name, stem = need.profile.name, stem_of(need.profile.name)
    if not any(could_hold(card, need) for card in host.cards):
        wanted = need.model.key if need.model else f"card for {name}"
        return Refused("gpu-unknown", f"has no {wanted}")
    if need.group is not None:
        if all(group.name != need.group for group in host.device_groups):
            return Refused("gpu-unknown", f"does not offer {need.group}")
    elif host.profiles and all(stem_of(offer.name) != stem for offer in host.profiles):
        return Refused("gpu-unknown", f"does not offer {name}")
    elif need.count > host.max_vgpus_per_vm:
        text = f"gives one VM at most {host.max_vgpus_per_vm} vGPUs"
        return Refused("gpu-capacity", text)
    return None


def _cards_taken(state: HostState, request: Request) -> Refused:
    need = request.need
    if isinstance(need, VgpuNeed):
        return _no_vgpu(state, need)
    if isinstance(need, ModelNeed | PinnedNeed):
        cards = [card for card in state.host.cards if need.means(card)]
        return _no_whole_card(state, cards, request)
    if isinstance(need, GroupNeed):
        return Refused("gpu-in-use", f"{need.group} is in use")
    return Refused("host-unavailable", "has no room")


def _no_whole_card(state: HostState, cards: Sequence[Card], request: Request) -> Refused:
    taken = state.taken
    count = request.need.count if isinstance(request.need, ModelNeed) else 1
    used = sum(card.address in taken for card in cards)
    free = sum(is_ready(card) and card.address not in taken for card in cards)
    inactive = [c for c in cards if c.mode is CardMode.PASSTHROUGH and not c.passthrough_active]
    parts = [f"{free} of {len(cards)} free"]
    if used:
        parts.append(f"{used} in use")
    if inactive:
        parts.append(f"{len(inactive)} waiting for the host's reboot")
    other = Counter(card.mode.value for card in cards if card.mode is not CardMode.PASSTHROUGH)
    parts += [f"{n} not in passthrough mode but {mode}" for mode, n in sorted(other.items())]
    label = request.need.label if isinstance(request.need, ModelNeed) else None
    marked = f" labelled {label}" if label else ""
    text = f"{_cards(cards)}{marked}: {', '.join(parts)}"
    if free + len(inactive) >= count:
        return Refused("passthrough-inactive", text)
    if used:
        return Refused("gpu-in-use", text)
    return Refused("passthrough-inactive" if other else "gpu-capacity", text)


def _no_vgpu(state: HostState, need: VgpuNeed) -> Refused:
    if (unshared := _shares_nothing(state.host)) is not None:
        return unshared
    loads = state.shared.loads_for(need)
    if not loads:
        return _not_shared([card for card in state.host.cards if could_hold(card, need)])
    addresses = {load.address for load in loads}
    where = _cards(card for card in state.host.cards if card.address in addresses)
    refused = {load: reason for load in loads if (reason := refusal(load, need.profile))}
    held = listed(sorted({name for load in refused for name in load.profiles}))
    reasons = set(refused.values())
    if Refusal.PROFILE_LOCKED in reasons:
        return Refused("gpu-profile-locked", f"{where}: locked to {held}")
    if Refusal.GEOMETRY in reasons:
        return Refused("mig-geometry", f"{where}: no MIG slot for it beside {held}")
    if reasons and Refusal.FULL not in reasons:
        modes = ", ".join(sorted({load.vgpu_mode.value for load in loads}))
        return Refused("graphics-mode", f"{where}: the profile does not go with {modes} mode")
    return Refused("gpu-capacity", f"{where}: full of {held}" if held else f"{where}: too few left")


def _shares_nothing(host: Host) -> Refused | None:
    """Return why a host gives no vGPUs, whatever its cards are set to."""
    if not host.shared_direct:
        return Refused("graphics-mode", "is not in shared direct graphics mode")
    if not host.vgpu_manager:
        text = "offers no vGPU profiles: NVIDIA's vGPU manager is missing or does not run"
        return Refused("vgpu-manager-missing", text)
    return None


def _not_shared(cards: Sequence[Card]) -> Refused:
    if any(card.mode is CardMode.SHARED for card in cards):
        text = f"{_cards(cards)}: waiting for the host's reboot to be shared"
        return Refused("passthrough-inactive", text)
    modes = ", ".join(sorted({card.mode.value for card in cards}))
    return Refused("graphics-mode", f"{_cards(cards)}: not shared but {modes}")


def _cards(cards: Iterable[Card]) -> str:
    """Return `2 x A100-80` for a host's cards."""
    names = Counter(model.key if (model := model_of(card)) else card.name for card in cards)
    return ", ".join(f"{count} x {name}" for name, count in sorted(names.items()))
