"""Where MIG instances come to lie on a GPU."""

from __future__ import annotations

from functools import lru_cache

from provision.gpu.catalogue import MigGeometry

Shape = tuple[int, int]
"""Compute slices and memory slices of an instance."""


@lru_cache(maxsize=65536)
def arrange(geometry: MigGeometry, shapes: tuple[Shape, ...]) -> tuple[int, ...] | None:
    """Return the start slot of each instance, created one after the other; None if one has none.

    An instance stays where it was put, so the order decides what still fits. Each goes where it
    takes the fewest possible placements away from those to come, the lowest such slot first.
    This reproduces the placements that the NVIDIA MIG User Guide shows (seven 1g: slots 6, 4, 5,
    0, 1, 2, 3; two 2g: 4, 0; then 1g, 2g, 4g: 6, 4, 0).
    """
    if not shapes:
        return ()
    before = arrange(geometry, shapes[:-1])
    if before is None:
        return None
    taken = 0
    for (_, memory), start in zip(shapes[:-1], before, strict=True):
        taken |= _mask(memory, start)
    compute, memory = shapes[-1]
    free = [start for start in geometry.starts(compute, memory) if not taken & _mask(memory, start)]
    if not free:
        return None
    best = max(free, key=lambda start: (_open(geometry, taken | _mask(memory, start)), -start))
    return (*before, best)


def _mask(memory_slices: int, start: int) -> int:
    return ((1 << memory_slices) - 1) << start


def _open(geometry: MigGeometry, taken: int) -> int:
    """Return how many placements, of any shape, are left when these slots are taken."""
    return sum(
        not taken & _mask(placement.memory_slices, start)
        for placement in geometry.placements
        for start in placement.starts
    )
