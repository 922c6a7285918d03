"""Statistics of step times: pure, and repeatable for a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 1000
_CELLS = 1_000_000
"""Numbers drawn at once by the bootstrap, which bounds its memory to some ten megabytes."""


def median(values: Sequence[float]) -> float:
    """Return the median; of an even count, the mean of the two in the middle."""
    return float(np.median(_filled(values)))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which `percent` per cent lie, interpolated between neighbours."""
    return float(np.percentile(_filled(values), percent))


def bootstrap_interval(
    values: Sequence[float], *, seed: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the median (Efron 1979).

    `RESAMPLES` samples of the same size are drawn with replacement; the interval holds the
    middle `confidence` of their medians. It takes the values as independent, which neighbouring
    step times only nearly are.
    """
    sample = _filled(values)
    random = np.random.default_rng(seed)
    rows = max(1, _CELLS // sample.size)
    medians = [
        np.median(random.choice(sample, (min(rows, RESAMPLES - start), sample.size)), axis=1)
        for start in range(0, RESAMPLES, rows)
    ]
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(np.concatenate(medians), [tail, 100 - tail])
    return float(low), float(high)


def relative_half_width(values: Sequence[float], *, seed: int) -> float:
    """Return half the width of the bootstrap interval as a share of the median.

    Raises:
        ValueError: If the median is not positive, as it is for every time.
    """
    middle = median(values)
    if middle <= 0:
        raise ValueError(f"times have a positive median, not {middle}")
    low, high = bootstrap_interval(values, seed=seed)
    return (high - low) / 2 / middle


def is_stable(values: Sequence[float], *, group: int = 3, tolerance: float = 0.05) -> bool:
    """Return whether the values have come to rest.

    The rule: the medians of the last `group` values and of the `group` before them differ by no
    more than `tolerance` of the larger one.
    """
    if len(values) < 2 * group:
        return False
    earlier, later = median(values[-2 * group : -group]), median(values[-group:])
    return abs(earlier - later) <= tolerance * max(earlier, later)


def _filled(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    if not values:
        raise ValueError("no values")
    return np.asarray(values, dtype=np.float64)
