"""For random small worlds: what the plan says will happen is what hosts then do.

The hosts here are a second, slow and plain implementation of the rules of FACTS 4: no code is
shared with the planner but the catalogue's numbers.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from provision.gpu.catalogue import catalogue
from provision.gpu.types import AssignmentPolicy, CardMode
from provision.plan.model import Action, ActionKind
from provision.plan.planner import plan
from provision.plan.snapshot import Host, Snapshot
from provision.spec.model import Lab, MachineGroup, VgpuRequest
from tests.unit.plan import worlds

PROFILES = ("grid_a100d-80c", "grid_a100d-40c", "grid_a100d-20c", "grid_a100d-10c")
CARDS = st.fixed_dictionaries({"mode": st.sampled_from(["shared", "shared", "passthrough"])})
STRANGER = st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from(PROFILES))


@st.composite
def hosts(draw: st.DrawFn) -> dict[str, Any]:
    cards = draw(st.lists(CARDS, max_size=4))
    return {
        "cards": cards,
        "policy": draw(st.sampled_from(["performance", "consolidation"])),
        "memory": draw(st.sampled_from(["64 GiB", "128 GiB", "1 TiB"])),
        "max_vgpus": draw(st.sampled_from([1, 4])),
        "maintenance": draw(st.sampled_from([False, False, False, True])),
    }


GPUS = st.one_of(
    st.none(),
    st.fixed_dictionaries({"vgpu": st.sampled_from(PROFILES), "count": st.integers(1, 2)}),
    st.fixed_dictionaries({"passthrough": st.just("A100-80"), "count": st.integers(1, 2)}),
)
WISHES = st.sampled_from([{}, {}, {"together": True}, {"spread": True}, {"host": "esx-00"}])
SIZES = st.fixed_dictionaries({"count": st.integers(1, 6), "gpu": GPUS})
GROUPS = st.lists(
    st.tuples(SIZES, WISHES).map(lambda pair: {**pair[0], **pair[1]}), min_size=1, max_size=4
)


def world(trees: list[dict[str, Any]], strangers: list[tuple[int, int, str]], lab: Lab) -> Snapshot:
    """Let strangers take cards, as far as a card takes one VM of any profile."""
    vms = {}
    taken = set()
    for host, slot, profile in strangers:
        if host < len(trees) and slot < len(trees[host]["cards"]) and (host, slot) not in taken:
            taken.add((host, slot))
            shared = trees[host]["cards"][slot]["mode"] == "shared"
            address = f"0000:{worlds.FIRST_BUS + slot:02x}:00.0"
            use = {"address": address, **({"profile": profile} if shared else {})}
            vms[f"stranger-{host}-{slot}"] = {"host": f"esx-{host:02}", "holds": [use]}
    named = {f"esx-{n:02}": tree for n, tree in enumerate(trees)}
    return worlds.snapshot({"hosts": named, "vms": vms}, lab)


class PlainHost:
    """Powers VMs on as FACTS 4 says a host does, in sameSize mode."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.memory = host.memory - host.memory_reserved
        self.held: dict[str, list[str | None]] = {
            card.address: [use.profile for use in card.uses] for card in host.cards
        }
        self.mode = {card.address: card.mode for card in host.cards}

    def power_on_vgpus(self, profile: str, count: int) -> list[str]:
        assert count <= self.host.max_vgpus_per_vm
        return [self.one_vgpu(profile) for _ in range(count)]

    def one_vgpu(self, profile: str) -> str:
        entry = catalogue().profile(profile)
        assert entry is not None
        able = [
            address
            for address, held in self.held.items()
            if self.mode[address] is CardMode.SHARED
            and set(held) <= {profile}
            and len(held) < entry[1].max_per_card
        ]
        assert able, f"{self.host.name} refuses {profile}: {self.held}"
        spread = self.host.policy is AssignmentPolicy.PERFORMANCE
        able.sort(key=lambda a: (len(self.held[a]) if spread else -len(self.held[a]), a))
        self.held[able[0]].append(profile)
        return able[0]

    def pass_through(self, address: str) -> None:
        assert self.mode[address] is CardMode.PASSTHROUGH
        assert self.held[address] == []
        self.held[address].append(None)

    def reserve(self, memory: int) -> None:
        self.memory -= memory
        assert self.memory >= 0


def keeps_wishes(group: MachineGroup, placed: list[Action]) -> None:
    on = [action.host for action in placed]
    if group.spread:
        assert len(set(on)) == len(on)
    if group.together:
        assert len(placed) in (0, group.count)
        assert len(set(on)) <= 1
        if isinstance(group.gpu, VgpuRequest) and group.gpu.count == 1:
            assert len({card.address for action in placed for card in action.cards}) <= 1
    if group.host is not None:
        assert set(on) <= {group.host}


@settings(max_examples=200, deadline=None)
@given(st.lists(hosts(), min_size=1, max_size=3), st.lists(STRANGER, max_size=4), GROUPS)
def test_hosts_accept_every_planned_power_on_and_choose_the_planned_cards(
    trees: list[dict[str, Any]],
    strangers: list[tuple[int, int, str]],
    groups: list[dict[str, Any]],
) -> None:
    lab = worlds.lab({"machines": {f"g{n}": group for n, group in enumerate(groups)}})
    snapshot = world(trees, strangers, lab)
    plain = {host.id: PlainHost(host) for host in snapshot.hosts}
    result = plan(lab, snapshot)
    unplaced = 0
    for action in result.actions:
        assert action.kind is ActionKind.CREATE
        assert action.spec is not None
        if action.host_id is None:
            unplaced += 1
            continue
        host = plain[action.host_id]
        assert not host.host.in_maintenance
        host.reserve(action.spec.memory)
        planned = [card.address for card in action.cards]
        profiles = {card.profile for card in action.cards}
        if profiles == {None}:
            for address in planned:
                host.pass_through(address)
        elif action.cards:
            assert host.power_on_vgpus(str(action.cards[0].profile), len(planned)) == planned
    assert result.blocked == bool(unplaced)
    for name, group in lab.machines.items():
        placed = [a for a in result.actions if a.spec and a.spec.group == name and a.host_id]
        keeps_wishes(group, placed)


def whole_cards_needed(counts: dict[str, int]) -> int:
    total = 0
    for profile, count in counts.items():
        entry = catalogue().profile(profile)
        assert entry is not None
        total += -(-count // entry[1].max_per_card)
    return total


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(PROFILES), st.integers(1, 9)), min_size=1, max_size=4),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from(["performance", "consolidation"]),
)
def test_equal_hosts_hold_all_that_whole_cards_can_hold(
    groups: list[tuple[str, int]], host_count: int, card_count: int, policy: str
) -> None:
    """With one vGPU a machine and empty cards, counting cards decides whether a lab fits."""
    machines = {
        f"g{n}": {"count": count, "gpu": {"vgpu": profile}}
        for n, (profile, count) in enumerate(groups)
    }
    lab = worlds.lab({"machines": machines, "defaults": {"memory": "1 GiB"}})
    tree = {"cards": {"count": card_count}, "policy": policy}
    snapshot = worlds.snapshot({"hosts": {f"esx-{n}": tree for n in range(host_count)}}, lab)
    counts: dict[str, int] = defaultdict(int)
    for profile, count in groups:
        counts[profile] += count
    should_fit = whole_cards_needed(counts) <= host_count * card_count
    assert plan(lab, snapshot).blocked is not should_fit
