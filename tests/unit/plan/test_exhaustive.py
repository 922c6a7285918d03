"""For random small worlds: the planner places everything exactly where that can be done at all.

An exhaustive search over assignments and orders of power-on, on hosts of a second and plain
implementation, says whether it can.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from provision.plan.planner import plan
from tests.unit.plan import worlds
from tests.unit.plan.plain import PAIR, everything_fits

TIME_SLICED = ("grid_a100d-80c", "grid_a100d-40c", "grid_a100d-20c", "grid_a100d-10c")
MIG = ("grid_a100d-7-80c", "grid_a100d-4-40c", "grid_a100d-3-40c", "grid_a100d-2-20c")
SMALL_MIG = ("grid_a100d-1-20c", "grid_a100d-1-10c")
POLICIES = st.sampled_from(["performance", "consolidation"])
FIRST_CARD = f"esx-0/0000:{worlds.FIRST_BUS:02x}:00.0"


def vgpus(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"vgpu": st.sampled_from(names), "count": st.integers(1, 2)})


def groups(gpu: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[list[dict[str, Any]]]:
    group = st.fixed_dictionaries(
        {
            "count": st.integers(1, most),
            "gpu": gpu,
            "memory": st.sampled_from(["8 GiB", "16 GiB", "32 GiB"]),
        }
    )
    return st.lists(group, min_size=1, max_size=3)


def hosts(card: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    host = st.fixed_dictionaries(
        {
            "cards": st.lists(card, min_size=1, max_size=3),
            "policy": POLICIES,
            "memory": st.sampled_from(["48 GiB", "64 GiB", "1 TiB"]),
            "groups": st.sampled_from([[], [PAIR]]),
            "max_vgpus": st.sampled_from([1, 2]),
        }
    )
    return st.lists(host, min_size=1, max_size=2)


def check(trees: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    machines = {f"g{n}": group for n, group in enumerate(wanted)}
    lab = worlds.lab({"machines": machines})
    snapshot = worlds.snapshot({"hosts": {f"esx-{n}": t for n, t in enumerate(trees)}}, lab)
    result = plan(lab, snapshot)
    placeable = not any(finding.code == "gpu-unknown" for finding in result.findings)
    assert result.blocked is not (placeable and everything_fits(lab, snapshot))


def shared(mode: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.just({"vgpu_mode": mode})


@settings(max_examples=120, deadline=None)
@given(hosts(shared("sameSize")), groups(vgpus(*TIME_SLICED)))
def test_same_size(trees: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    check(trees, wanted)


@settings(max_examples=120, deadline=None)
@given(hosts(shared("mixedSize")), groups(vgpus(*TIME_SLICED)))
def test_mixed_size(trees: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    check(trees, wanted)


@settings(max_examples=120, deadline=None)
@given(hosts(shared("multiInstanceGpu")), groups(vgpus(*MIG, *SMALL_MIG)))
def test_mig(trees: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    check(trees, wanted)


WHOLE = st.sampled_from([{"passthrough": "A100-80"}, {"passthrough": "A100", "count": 2}])
PINNED = st.just({"passthrough": FIRST_CARD})
ANY_CARD = st.sampled_from(
    [{"mode": "passthrough"}, {"vgpu_mode": "sameSize"}, {"vgpu_mode": "multiInstanceGpu"}]
)
ANY_GPU = st.one_of(
    st.none(),
    WHOLE,
    PINNED,
    st.just({"group": PAIR}),
    vgpus(*TIME_SLICED),
    vgpus("grid_a100d-3-40c", "grid_a100d-1-10c"),
)


@settings(max_examples=200, deadline=None)
@given(hosts(ANY_CARD), groups(ANY_GPU, most=2))
def test_every_kind_of_gpu(trees: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    check(trees, wanted)
