"""Random worlds with more wish than room: unlike hosts, strangers on cards, short memory."""

from __future__ import annotations

from random import Random
from typing import Any

from provision.plan.snapshot import Snapshot
from provision.spec.model import Lab
from tests.unit.plan import worlds

TIME_SLICED = tuple(f"grid_a100d-{size}c" for size in (80, 40, 20, 16, 10, 8, 4))
MIG = tuple(f"grid_a100d-{name}c" for name in ("7-80", "4-40", "3-40", "2-20", "1-20", "1-10"))
SAME, MIXED, SLICES = "sameSize", "mixedSize", "multiInstanceGpu"
MODES = ((SAME,), (MIXED,), (SLICES,), (SAME, MIXED, SLICES))
CARD_GIB = 80

Tree = dict[str, Any]


def crowded(seed: int) -> tuple[Lab, Snapshot]:
    """Return a lab that wants 0.7 to 1.2 times all framebuffer of 8 to 30 hosts."""
    random = Random(seed)  # noqa: S311 - worlds that can be made again, no secrets
    modes = MODES[seed % len(MODES)]
    hosts = {f"esx-{n:02}": _host(random, modes) for n in range(random.randint(8, 30))}
    there = CARD_GIB * sum(len(host["cards"]) for host in hosts.values())
    lab = worlds.lab({"machines": _groups(random, modes, there * random.uniform(0.7, 1.2))})
    return lab, worlds.snapshot({"hosts": hosts, "vms": _strangers(random, hosts)}, lab)


def _host(random: Random, modes: tuple[str, ...]) -> Tree:
    return {
        "cards": [
            {"mode": "passthrough"} if random.random() < 0.15 else {"vgpu_mode": mode}
            for mode in random.choices(modes, k=random.randint(2, 8))
        ],
        "policy": random.choice(["performance", "consolidation"]),
        "memory": random.choice(["256 GiB", "512 GiB", "1 TiB"]),
    }


def _strangers(random: Random, hosts: Tree) -> Tree:
    """Let a fifth of the shared cards hold one vGPU of a stranger."""
    vms: Tree = {}
    for name, host in hosts.items():
        for slot, card in enumerate(host["cards"]):
            if "vgpu_mode" in card and random.random() < 0.2:
                profile = random.choice(MIG if card["vgpu_mode"] == SLICES else TIME_SLICED)
                address = f"0000:{worlds.FIRST_BUS + slot:02x}:00.0"
                use = {"address": address, "profile": profile}
                vms[f"stranger-{name}-{slot}"] = {"host": name, "holds": [use]}
    return vms


def _groups(random: Random, modes: tuple[str, ...], wanted: float) -> Tree:
    groups: Tree = {}
    total = 0
    while total < wanted:
        gpu, size = _gpu(random, modes)
        count = random.randint(1, max(1, min(40, int(wanted / 3 / size))))
        memory = random.choice(["8 GiB", "16 GiB", "32 GiB", "64 GiB"])
        groups[f"g{len(groups)}"] = {"count": count, "gpu": gpu, "memory": memory}
        total += count * size
    return groups


def _gpu(random: Random, modes: tuple[str, ...]) -> tuple[Tree, int]:
    """Return a GPU request and its GiB of framebuffer."""
    if random.random() < 0.12:
        count = random.choice([1, 1, 2])
        return {"passthrough": "A100-80", "count": count}, CARD_GIB * count
    names = MIG if random.choice(modes) == SLICES else TIME_SLICED
    profile, count = random.choice(names), random.choice([1, 1, 1, 2])
    return {"vgpu": profile, "count": count}, int(profile[:-1].rpartition("-")[2]) * count
