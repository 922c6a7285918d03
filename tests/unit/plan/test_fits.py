from __future__ import annotations

import pytest

from provision.errors import UsageError
from provision.plan.fits import fits, gpus_view
from provision.plan.snapshot import Snapshot
from tests.unit.plan import worlds

LAB = worlds.lab({})
WORLD = worlds.snapshot(
    {
        "hosts": {
            "esx-01": {"cards": {"count": 2}, "policy": "consolidation"},
            "esx-02": {"cards": [{"mode": "passthrough"}, {"mode": "passthrough"}, {}]},
            "esx-03": {"cards": [{"mode": "passthrough", "active": False}, {"mode": "none"}]},
            "esx-04": {"cards": {"count": 4}, "maintenance": True},
            "esx-05": {"cards": {"count": 1}, "shared_direct": False},
        },
        "vms": {
            "old": {
                "host": "esx-01",
                "holds": [{"address": "0000:10:00.0", "profile": "grid_a100d-10c"}],
            },
            "whole": {"host": "esx-02", "holds": [{"address": "0000:10:00.0"}]},
        },
    },
    LAB,
)


@pytest.mark.parametrize(
    ("wanted", "counts"),
    [
        ("grid_a100d-10c", [15, 8, 0, 0, 0]),
        ("grid_a100d-40c", [2, 2, 0, 0, 0]),
        ("A100", [0, 1, 0, 0, 0]),
        ("H100-80", [0, 0, 0, 0, 0]),
    ],
)
def test_fits_counts_what_each_host_still_takes(wanted: str, counts: list[int]) -> None:
    assert [count for _, count in fits(WORLD, wanted)] == counts


def test_fits_names_what_may_have_been_meant() -> None:
    with pytest.raises(UsageError, match="grid_a100d-10c"):
        fits(WORLD, "grid_a100d-11c")


def row_texts(world: Snapshot) -> list[str]:
    return [f"{r.host} {r.address[5:7]} {r.model} {r.mode}: {r.free}" for r in gpus_view(world)]


def test_gpus_view_has_a_row_per_card() -> None:
    assert row_texts(WORLD) == [
        "esx-01 10 A100-80 shared: 7 x grid_a100d-10c",
        "esx-01 11 A100-80 shared: whole card",
        "esx-02 10 A100-80 passthrough: nothing",
        "esx-02 11 A100-80 passthrough: whole card",
        "esx-02 12 A100-80 shared: whole card",
        "esx-03 10 A100-80 passthrough: no: host must reboot",
        "esx-03 11 A100-80 none: no: neither shared nor passthrough",
        *[f"esx-04 {n} A100-80 shared: no: host is in maintenance mode" for n in range(10, 14)],
        "esx-05 10 A100-80 shared: no: host is not in shared direct graphics mode",
    ]


def test_gpus_view_names_the_users_and_how_the_card_is_divided() -> None:
    first, _, third, *_ = gpus_view(WORLD)
    assert first.used_by == ("old (grid_a100d-10c)",)
    assert (first.vgpu_mode, first.policy) == ("sameSize", "consolidation")
    assert third.used_by == ("whole",)
    assert (third.vgpu_mode, third.policy) == (None, None)
