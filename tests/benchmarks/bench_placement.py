"""Planning 10,000 machines on 1,000 hosts with 8 cards, and how full the cards get.

Time (of the processor, so that nothing else on the machine counts) and peak memory are those of a
process of its own that plans once, the lab and the snapshot in it. Packing is compared with
OR-tools' CP-SAT on smaller worlds, which it can still solve.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from provision.plan.placement import place
from provision.plan.planner import plan
from tests.unit.plan import worlds
from tests.unit.plan.crowded import crowded
from tests.unit.plan.exact import exact, packed, problem_of

HOSTS, CARDS, MACHINES = 1_000, 8, 10_000
SECONDS, MEGABYTES = 5, 500
SMALLER_WORLDS = 12
ROOT = Path(__file__).parents[2]

# Profile and its share of the machines; the first case fills three quarters of the framebuffer.
MIXED = {"80c": 0.1, "40c": 0.2, "20c": 0.3, "10c": 0.4}
LARGE = {"80c": 0.9, "40c": 0.05, "20c": 0.05}
CASES = {
    "everything fits": (MIXED, 4, "1 TiB"),
    "a fifth finds no card": (LARGE, 4, "1 TiB"),
    "a fifth finds no card, 40 groups": (LARGE, 40, "1 TiB"),
    "hosts are short of memory": (MIXED, 40, "64 GiB"),
}


def run() -> Iterator[str]:
    yield f"{MACHINES:,} machines, {HOSTS:,} hosts with {CARDS} cards"
    yield f"(goal: below {SECONDS} s and {MEGABYTES} MB)"
    for name in CASES:
        child = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.bench_placement", name],
            check=True,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        found = json.loads(child.stdout)
        yield (
            f"  {name}: {found['seconds']:.1f} s, {found['megabytes']} MB, "
            f"{found['placed']:,} placed, {found['findings']} findings"
        )
    yield from _packing()


def _packing() -> Iterator[str]:
    shares, ours, theirs = [], 0.0, 0.0
    for seed in range(SMALLER_WORLDS):
        lab, snapshot = crowded(seed)
        problem = problem_of(lab, snapshot)
        started = time.perf_counter()
        outcome = place(problem)
        between = time.perf_counter()
        most, _ = exact(lab, snapshot)
        ours += between - started
        theirs += time.perf_counter() - between
        shares.append(packed(lab, outcome) / most)
    yield (
        f"{SMALLER_WORLDS} crowded worlds of 8 to 30 hosts: {min(shares):.1%} of what OR-tools "
        f"packs in the worst, {sum(shares) / len(shares):.1%} on average, in 1/{theirs / ours:.0f} "
        "of its time"
    )


def _once(name: str) -> dict[str, float]:
    """Plan one case, and say what it took."""
    shares, groups, memory = CASES[name]
    each = groups // len(shares) or 1
    lab = worlds.lab(
        {
            "machines": {
                f"g{profile}{n}": {
                    "count": int(MACHINES * share / each),
                    "gpu": {"vgpu": f"grid_a100d-{profile}"},
                    "memory": f"{8 + n % 4} GiB",
                }
                for profile, share in shares.items()
                for n in range(each)
            }
        }
    )
    policies = ("performance", "consolidation")
    hosts = {
        f"esx-{n:04}": {"cards": {"count": CARDS}, "policy": policies[n % 2], "memory": memory}
        for n in range(HOSTS)
    }
    snapshot = worlds.snapshot({"hosts": hosts, "datastore": {"free": "9000 TiB"}}, lab)
    started = time.process_time()
    result = plan(lab, snapshot)
    return {
        "seconds": time.process_time() - started,
        # Linux counts in KiB.
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // 10**6,
        "placed": sum(action.host_id is not None for action in result.actions),
        "findings": len(result.findings),
    }


if __name__ == "__main__":
    print(json.dumps(_once(sys.argv[1])))
