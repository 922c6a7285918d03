"""What groups ask about their machines' company, against where machines are now."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from provision.gpu.types import AssignmentPolicy
from provision.plan.model import Finding, Severity
from provision.plan.names import counted, listed
from provision.plan.request import Place
from provision.plan.snapshot import Host, Vm
from provision.spec.model import Machine, VgpuRequest

Standing = Sequence[tuple[Machine, Place]]
"""Machines that the plan leaves where they are."""


def places(
    machines: Sequence[Machine], vms: Mapping[str, Vm], hosts: Sequence[Host]
) -> list[tuple[Machine, Place]]:
    """Return where the machines are whose groups ask about it.

    Args:
        machines: Machines that have a VM.
        vms: The VM of each, by the machine's name.
        hosts: The hosts of the cluster, whose cards say who holds them.
    """
    held: dict[str, list[str]] = defaultdict(list)
    for host in hosts:
        for card in host.cards:
            for use in card.uses:
                held[use.vm_id].append(card.address)
    return [
        (machine, Place(vm.host_id, tuple(sorted(held[vm.id]))))
        for machine in machines
        if machine.together or machine.spread or machine.host
        if (vm := vms[machine.name]).host_id is not None
    ]


def unknown_hosts(machines: Sequence[Machine], hosts: Sequence[Host]) -> Iterator[Finding]:
    """Yield an error for each group that wants a host which the cluster does not have."""
    names = {host.name for host in hosts}
    wanted = {(m.lab, m.group): m.host for m in machines if m.host and m.host not in names}
    for (lab, group), name in wanted.items():
        message = f"wants host {name}, which the cluster does not have"
        fix = f"hosts: {listed(sorted(names)) or 'none'}"
        yield Finding(Severity.ERROR, "affinity", f"{lab}-{group}", message, fix)


def movers(standing: Standing, hosts: Sequence[Host]) -> frozenset[str]:
    """Return the machines that must leave their hosts for their groups to be as they ask.

    They are as few as can be: of machines that want to be together, those stay that are on the
    host with most of them; of those that want a host each, the first on each host.

    Args:
        standing: Machines that have a VM, those first that should rather stay.
        hosts: The hosts of the cluster.
    """
    names = {host.id: host.name for host in hosts}
    return frozenset(
        machine.name
        for members in _by_group(standing).values()
        for machine in _leaving(members, names)
    )


def _by_group(standing: Standing) -> dict[tuple[str, str], list[tuple[Machine, Place]]]:
    groups: dict[tuple[str, str], list[tuple[Machine, Place]]] = defaultdict(list)
    for machine, place in standing:
        groups[machine.lab, machine.group].append((machine, place))
    return groups


def _leaving(members: Standing, names: Mapping[str, str]) -> Iterator[Machine]:
    wish, counts = members[0][0], Counter(place.host for _, place in members)
    if wish.host is not None:
        if wish.host in names.values():
            yield from (machine for machine, at in members if names.get(at.host) != wish.host)
    elif wish.together:
        most = min(counts, key=lambda host: (-counts[host], names.get(host, host)))
        yield from (machine for machine, at in members if at.host != most)
    elif wish.spread:
        first: set[str] = set()
        for machine, at in members:
            if at.host in first:
                yield machine
            first.add(at.host)


def misplaced(
    standing: Standing, hosts: Sequence[Host], could_move: frozenset[str]
) -> Iterator[Finding]:
    """Yield a warning for each group whose machines stay where it does not ask them to be.

    Args:
        standing: Machines that stay where they are.
        hosts: The hosts of the cluster.
        could_move: The groups whose machines would find room where they ask to be.
    """
    names = {host.id: host.name for host in hosts}
    for (lab, group), members in _by_group(standing).items():
        if (message := _wrong(members, names)) is not None:
            fix = _CONSENT if group in could_move else _NO_ROOM
            yield Finding(Severity.WARNING, "affinity", f"{lab}-{group}", message, fix)
        elif (apart := _on_other_cards(members)) is not None:
            message, leaving = apart
            home = next((host for host in hosts if host.id == members[0][1].host), None)
            fix = _card_fix(leaving, home)
            yield Finding(Severity.WARNING, "affinity", f"{lab}-{group}", message, fix)


_CONSENT = (
    "when what runs in them has ended, `vdl provision --allow-restart` shuts them down, moves "
    "them and starts them again"
)
_NO_ROOM = "make room where the lab file asks for them, or delete their VMs, and plan again"


def _wrong(members: Standing, names: Mapping[str, str]) -> str | None:
    wish = members[0][0]
    where = {machine.name: names.get(place.host, place.host) for machine, place in members}
    elsewhere = [f"{name} is on {host}" for name, host in where.items() if host != wish.host]
    if wish.host is not None and elsewhere:
        return f"{listed(elsewhere)}; the lab file asks for {wish.host}"
    crowded = [
        f"{counted(count, 'machine')} on {host}"
        for host, count in sorted(Counter(where.values()).items())
        if count > 1
    ]
    if wish.spread and crowded:
        return f"{listed(crowded)}; the lab file asks for a host of its own for each"
    if wish.together and len(set(where.values())) > 1:
        return f"on {listed(sorted(set(where.values())))}; the lab file asks for one host"
    return None


def _on_other_cards(members: Standing) -> tuple[str, list[str]] | None:
    """Say on which cards machines are that want to share one, and who is not on the fullest.

    vdl can't move them there: which card a vGPU is on is the host's choice at each power-on.
    """
    wish = members[0][0]
    single = isinstance(wish.gpu, VgpuRequest) and wish.gpu.count == 1
    counts = Counter(card for _, place in members for card in place.cards)
    if not (wish.together and single) or len(counts) <= 1:
        return None
    most = min(counts, key=lambda card: (-counts[card], card))
    leaving = [
        machine.name for machine, place in members if place.cards and most not in place.cards
    ]
    cards = listed(sorted(counts))
    return f"on the cards {cards} of one host; the lab file asks for one card", leaving


def _card_fix(leaving: Sequence[str], home: Host | None) -> str:
    """Say what may bring machines onto the card of the others."""
    spreads = home is not None and home.policy is AssignmentPolicy.PERFORMANCE
    first = f"switch {home.name} to consolidation, then " if home and spreads else ""
    return (
        f"the host chooses a vGPU's card at power-on: {first}shut {listed(leaving)} down when what "
        "runs there has ended, and `vdl provision` powers on what then finds room on the card"
    )
