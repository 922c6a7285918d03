"""Hosts that power VMs on as FACTS say, written plainly and slowly, to hold the planner to.

No code is shared with the planner but the catalogue's numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from provision.gpu.catalogue import CardModel, Profile, catalogue
from provision.gpu.types import AssignmentPolicy, CardMode, VgpuMode
from provision.plan.snapshot import Host, Snapshot
from provision.spec.model import GroupRequest, Lab, Machine, VgpuRequest

# A vGPU's profile and its start slot (0 where there are none); None for a whole card.
Held = tuple[tuple[str, int] | None, ...]
PAIR = "Nvidia:2@grid_a100d-80c%NVLink"


@cache
def profile(name: str) -> tuple[CardModel, Profile]:
    found = catalogue().profile(name)
    assert found is not None
    return found


@dataclass(frozen=True)
class PlainHost:
    """A host with so many MiB to reserve; for each card, by address, what it holds."""

    host: Host
    memory: int
    held: tuple[Held, ...]

    @classmethod
    def of(cls, host: Host) -> PlainHost:
        host = replace(host, cards=tuple(sorted(host.cards, key=lambda card: card.address)))
        held: list[Held] = []
        for card in host.cards:
            slots: Held = ()
            for use in card.uses:
                if use.profile and card.vgpu_mode is VgpuMode.MIG:
                    slots = (*slots, (use.profile, _mig_start(slots, use.profile) or 0))
                else:
                    slots = (*slots, (use.profile, 0) if use.profile else None)
            held.append(slots)
        return cls(host, (host.memory - host.memory_reserved) // 2**20, tuple(held))

    def after(self, machine: Machine) -> Iterator[PlainHost]:
        """Yield the host after this machine's power-on: none, or one per free choice of cards."""
        if machine.memory.mib > self.memory or machine.cpus > self.host.cpus:
            return
        less = replace(self, memory=self.memory - machine.memory.mib)
        gpu = machine.gpu
        if gpu is None:
            yield less
        elif isinstance(gpu, GroupRequest):
            if any(group.name == gpu.group for group in self.host.device_groups):
                yield from less.with_vgpus("grid_a100d-80c", 2, frozenset(range(len(self.held))))
        elif isinstance(gpu, VgpuRequest):
            if gpu.count <= self.host.max_vgpus_per_vm:
                yield from less.with_vgpus(gpu.vgpu, gpu.count, None)
        elif gpu.pinned is None:
            yield from less.with_whole(gpu.count, None)
        elif gpu.pinned[0] == self.host.name:
            yield from less.with_whole(1, gpu.pinned[1])

    def with_whole(self, count: int, address: str | None) -> Iterator[PlainHost]:
        if count == 0:
            yield self
            return
        for i, card in enumerate(self.host.cards):
            ready = card.mode is CardMode.PASSTHROUGH and card.passthrough_active
            if ready and not self.held[i] and address in (None, card.address):
                yield from self._with(i, (None,)).with_whole(count - 1, address)

    def _with(self, i: int, held: Held) -> PlainHost:
        return replace(self, held=(*self.held[:i], held, *self.held[i + 1 :]))

    def with_vgpus(
        self, name: str, count: int, apart: frozenset[int] | None
    ) -> Iterator[PlainHost]:
        """The host chooses the card of each vGPU; nobody else does."""
        if count == 0:
            yield self
            return
        able = [
            (self._rank(i), i, start)
            for i in range(len(self.held))
            if (apart is None or i in apart) and (start := self._start(i, name)) is not None
        ]
        if able:
            _, i, start = min(able)
            rest = None if apart is None else apart - {i}
            taken = self._with(i, (*self.held[i], (name, start)))
            yield from taken.with_vgpus(name, count - 1, rest)

    def _rank(self, i: int) -> int:
        used = sum(profile(each[0])[1].framebuffer_mib for each in self.held[i] if each)
        if self.host.cards[i].vgpu_mode is VgpuMode.MIXED_SIZE:
            return used
        spread = self.host.policy is AssignmentPolicy.PERFORMANCE
        return len(self.held[i]) if spread else -used

    def _start(self, i: int, name: str) -> int | None:
        """Return the start slot of one more vGPU on a card; None where it does not fit."""
        card, held, wanted = self.host.cards[i], self.held[i], profile(name)[1]
        names = [each[0] for each in held if each]
        mig = card.vgpu_mode is VgpuMode.MIG
        if card.mode is not CardMode.SHARED or wanted.mig is not mig:
            return None
        if mig:
            return _mig_start(held, name)
        if card.vgpu_mode is VgpuMode.SAME_SIZE:
            fits = set(names) <= {name} and len(names) < wanted.max_per_card
        else:
            used = sum(profile(each)[1].framebuffer_mib for each in names)
            room = profile(name)[0].framebuffer_gib * 1024 - used
            fits = names.count(name) < wanted.mixed_max and wanted.framebuffer_mib <= room
        return 0 if fits else None


def _mig_start(held: Held, name: str) -> int | None:
    """Return where an instance goes: the slot that leaves the most placements, the lowest first."""
    model, wanted = profile(name)
    assert model.mig is not None
    instances = [(profile(each[0])[1], each[1]) for each in held if each]
    taken = {s for p, start in instances for s in range(start, start + p.memory_slices)}
    compute = sum(p.compute_slices for p, _ in instances) + wanted.compute_slices
    if compute > model.mig.compute_slices:
        return None
    best: tuple[int, int] | None = None
    for start in model.mig.starts(wanted.compute_slices, wanted.memory_slices):
        mine = set(range(start, start + wanted.memory_slices))
        if mine & taken:
            continue
        left = sum(
            not (taken | mine) & set(range(other, other + shape.memory_slices))
            for shape in model.mig.placements
            for other in shape.starts
        )
        if best is None or left > -best[0]:
            best = -left, start
    return best[1] if best else None


def everything_fits(lab: Lab, snapshot: Snapshot) -> bool:
    """Whether some assignment to hosts and some order of power-ons places every machine."""
    kinds: dict[str, list[Machine]] = {}
    for machine in lab.resolve():
        kinds.setdefault(machine.group, []).append(machine)
    hosts = tuple(PlainHost.of(host) for host in snapshot.hosts if not host.in_maintenance)
    counts = {name: len(machines) for name, machines in kinds.items()}
    first = {name: machines[0] for name, machines in kinds.items()}
    return _all_placed(hosts, counts, first, set())


def _all_placed(
    hosts: tuple[PlainHost, ...],
    counts: Mapping[str, int],
    first: Mapping[str, Machine],
    seen: set[object],
) -> bool:
    if not any(counts.values()):
        return True
    key = (tuple((host.memory, host.held) for host in hosts), tuple(counts.items()))
    if key in seen:
        return False
    seen.add(key)
    return any(
        _all_placed((*hosts[:i], after, *hosts[i + 1 :]), fewer, first, seen)
        for name, count in counts.items()
        if count
        for fewer in ({**counts, name: count - 1},)
        for i, host in enumerate(hosts)
        for after in host.after(first[name])
    )
