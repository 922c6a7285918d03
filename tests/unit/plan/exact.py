"""The most that any placement could achieve, by OR-tools' CP-SAT: a yardstick for the planner's.

The solver may choose the card of every vGPU, which no host lets anybody do; so its answer is
at least as good as that of an exact solver that obeys the hosts' policies and orders of power-on.
What is packed is measured in GiB of framebuffer: a machine with a large card counts for more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from provision.gpu.catalogue import CardModel, Profile, catalogue
from provision.gpu.mig import arrange
from provision.gpu.types import CardMode, VgpuMode
from provision.plan.needs import Unknown, model_of, resolve
from provision.plan.placement import Outcome
from provision.plan.problem import Problem
from provision.plan.request import Request
from provision.plan.snapshot import Card, Host, Snapshot
from provision.spec.model import Lab, Machine, PassthroughRequest, VgpuRequest
from tests.unit.plan.crowded import crowded


@dataclass(frozen=True, slots=True)
class Kind:
    """Equal machines: their vGPU profile (None for whole cards), how many each, their memory."""

    profile: Profile | None
    model: str
    count: int
    memory_mib: int

    @property
    def framebuffer(self) -> int:
        """GiB of framebuffer that one machine holds."""
        model = catalogue().model(self.model)
        assert model is not None
        one = self.profile.framebuffer_mib // 1024 if self.profile else model.framebuffer_gib
        return one * self.count


def kind_of(machine: Machine) -> Kind:
    gpu = machine.gpu
    if isinstance(gpu, VgpuRequest):
        found = catalogue().profile(gpu.vgpu)
        assert found is not None
        return Kind(found[1], found[0].key, gpu.count, machine.memory.mib)
    assert isinstance(gpu, PassthroughRequest)
    return Kind(None, catalogue().matching(gpu.passthrough)[0].key, gpu.count, machine.memory.mib)


def problem_of(lab: Lab, snapshot: Snapshot) -> Problem:
    """Return what placement is asked for a lab that has no VMs yet."""
    requests = []
    for machine in lab.resolve():
        assert machine.gpu is not None
        need = resolve(machine.gpu, snapshot.hosts)
        assert not isinstance(need, Unknown)
        requests.append(Request(machine.name, machine.group, machine.cpus, machine.memory, need))
    return Problem(tuple(requests), snapshot.hosts)


def packed(lab: Lab, outcome: Outcome) -> int:
    """Return the GiB of framebuffer of the machines that placement has found a host for."""
    placed = {each.request.machine for each in outcome.placed}
    return sum(kind_of(m).framebuffer for m in lab.resolve() if m.name in placed)


def exact(lab: Lab, snapshot: Snapshot, effort: float = 2.0) -> tuple[int, bool]:
    """Return the most GiB that can be packed, and whether the solver has proven it.

    Args:
        lab: The lab.
        snapshot: The world.
        effort: In the solver's deterministic seconds, which are the same on every machine; after
            them the best that it has found so far is returned.

    It can't run in a process that has imported TensorFlow: the two bring native libraries that
    crash each other. Hence the late import, and `exactly` for tests.
    """
    from ortools.sat.python import cp_model  # noqa: PLC0415

    counts = Counter(map(kind_of, lab.resolve()))
    solver = cp_model.CpSolver()
    solver.parameters.max_deterministic_time = effort
    solver.parameters.num_workers = 1
    model = cp_model.CpModel()
    _Model(model, counts, snapshot.hosts)
    status = solver.solve(model)
    assert status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    return round(solver.objective_value), status == cp_model.OPTIMAL


def exactly(seeds: Iterable[int]) -> list[tuple[int, bool]]:
    """Return `exact` of the crowded world of each seed, worked out in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        return list(apart.map(_exact_of, seeds))


def _exact_of(seed: int) -> tuple[int, bool]:
    return exact(*crowded(seed))


class _Model:
    """How many machines of each kind are on each host, and what its cards can give."""

    def __init__(self, model: Any, counts: Mapping[Kind, int], hosts: Sequence[Host]) -> None:
        self.model = model
        self.profiles = sorted({kind.profile for kind in counts if kind.profile}, key=str)
        on = [{kind: self._number(most) for kind, most in counts.items()} for _ in hosts]
        for host, here in zip(hosts, on, strict=True):
            self._host(host, here)
        for kind, most in counts.items():
            self.model.add(sum(here[kind] for here in on) <= most)
        self.model.maximize(sum(k.framebuffer * n for here in on for k, n in here.items()))

    def _number(self, most: int) -> Any:
        return self.model.new_int_var(0, most, "")

    def _host(self, host: Host, here: Mapping[Kind, Any]) -> None:
        room = (host.memory - host.memory_reserved) // 2**20
        self.model.add(sum(n * kind.memory_mib for kind, n in here.items()) <= room)
        gives: dict[Profile | str, list[Any]] = defaultdict(list)
        for card, equal in Counter(map(_bare, host.cards)).items():
            for key, number in self._cards(card, equal):
                gives[key].append(number)
        wants: dict[Profile | str, list[Any]] = defaultdict(list)
        for kind, number in here.items():
            wants[kind.profile or kind.model].append(number * kind.count)
            if kind.profile and kind.count > host.max_vgpus_per_vm:
                self.model.add(number == 0)
        for key, numbers in wants.items():
            self.model.add(sum(numbers) <= sum(gives[key]))

    def _cards(self, card: Card, equal: int) -> Iterator[tuple[Profile | str, Any]]:
        """Yield how many vGPUs of each profile, or whole cards, so many equal cards give."""
        model = model_of(card)
        assert model is not None
        if card.mode is CardMode.PASSTHROUGH:
            yield model.key, 0 if card.uses else equal
        elif card.mode is CardMode.SHARED:
            mig = card.vgpu_mode is VgpuMode.MIG
            able = [p for p in self.profiles if p in model.profiles and p.mig is mig]
            if card.vgpu_mode is VgpuMode.SAME_SIZE:
                yield from self._same_size(card, equal, able)
            else:
                one = self._mig if mig else self._mixed_size
                for _ in range(equal):
                    yield from one(card, model, able)

    def _same_size(
        self, card: Card, equal: int, able: Sequence[Profile]
    ) -> Iterator[tuple[Profile, Any]]:
        """Each card is opened for one profile, the one that it holds already if it does."""
        opened = {p: self._number(equal) for p in able if _held(card) in ([], [p] * len(card.uses))}
        self.model.add(sum(opened.values()) <= equal)
        for profile, number in opened.items():
            yield profile, number * (profile.max_per_card - len(card.uses))

    def _mixed_size(
        self, card: Card, model: CardModel, able: Sequence[Profile]
    ) -> Iterator[tuple[Profile, Any]]:
        held = _held(card)
        numbers = {p: self._number(max(0, p.mixed_max - held.count(p))) for p in able}
        room = model.framebuffer_gib * 1024 - sum(p.framebuffer_mib for p in held)
        self.model.add(sum(p.framebuffer_mib * n for p, n in numbers.items()) <= room)
        yield from numbers.items()

    def _mig(
        self, card: Card, model: CardModel, able: Sequence[Profile]
    ) -> Iterator[tuple[Profile, Any]]:
        """Every start slot of every profile is taken or not; slots and slices are taken once."""
        assert model.mig is not None
        held = _held(card)
        starts = arrange(model.mig, tuple((p.compute_slices, p.memory_slices) for p in held))
        slots: dict[int, list[Any]] = defaultdict(list)
        for profile, start in zip(held, starts or (), strict=True):
            for slot in range(start, start + profile.memory_slices):
                slots[slot].append(1)
        compute: list[Any] = [profile.compute_slices for profile in held]
        for profile in able:
            instances = []
            for start in model.mig.starts(profile.compute_slices, profile.memory_slices):
                instance = self._number(1)
                instances.append(instance)
                compute.append(instance * profile.compute_slices)
                for slot in range(start, start + profile.memory_slices):
                    slots[slot].append(instance)
            yield profile, sum(instances)
        for taken in slots.values():
            self.model.add(sum(taken) <= 1)
        self.model.add(sum(compute) <= model.mig.compute_slices)


def _bare(card: Card) -> Card:
    """Return the card as if its address were that of every other."""
    uses = tuple(type(use)("", use.profile) for use in card.uses)
    return Card("", card.vendor_id, card.device_id, "", card.mode, card.vgpu_mode, uses=uses)


def _held(card: Card) -> list[Profile]:
    found = (catalogue().profile(use.profile) for use in card.uses if use.profile)
    return [entry[1] for entry in found if entry]
