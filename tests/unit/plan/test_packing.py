"""Placement against an exact solver, on worlds too large to try everything."""

from __future__ import annotations

import pytest

from provision.plan.placement import place
from tests.unit.plan.crowded import crowded
from tests.unit.plan.exact import exactly, packed, problem_of

WORLDS = range(24)


@pytest.mark.slow
def test_placement_packs_at_least_95_percent_of_an_exact_solver() -> None:
    shares = {}
    proven = 0
    for seed, (most, certain) in zip(WORLDS, exactly(WORLDS), strict=True):
        lab, snapshot = crowded(seed)
        proven += certain
        shares[seed] = packed(lab, place(problem_of(lab, snapshot))) / most
    worst = min(shares, key=lambda seed: shares[seed])
    assert shares[worst] >= 0.95, f"world {worst}: {shares[worst]:.3f}"
    assert proven >= len(WORLDS) / 2
