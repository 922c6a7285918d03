import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payload import statistics

times = st.floats(min_value=1e-5, max_value=1e3)
samples = st.lists(times, min_size=1, max_size=60)


@settings(deadline=None)
@given(samples)
def test_half_of_the_values_lie_on_either_side_of_the_median(values: list[float]) -> None:
    middle = statistics.median(values)
    assert 2 * sum(value <= middle for value in values) >= len(values)
    assert 2 * sum(value >= middle for value in values) >= len(values)


@settings(deadline=None)
@given(samples, st.floats(min_value=0, max_value=100))
def test_percentiles_lie_within_the_values_and_rise(values: list[float], percent: float) -> None:
    found = statistics.percentile(values, percent)
    assert min(values) <= found <= max(values)
    assert found <= statistics.percentile(values, 100)
    assert statistics.percentile(values, 50) == pytest.approx(statistics.median(values))


@settings(deadline=None)
@given(samples, st.integers(min_value=0, max_value=2**32))
def test_an_interval_lies_within_the_values_and_is_repeatable(
    values: list[float], seed: int
) -> None:
    low, high = statistics.bootstrap_interval(values, seed=seed)
    assert min(values) <= low <= high <= max(values)
    assert (low, high) == statistics.bootstrap_interval(values, seed=seed)


@settings(deadline=None)
@given(times, st.integers(min_value=1, max_value=50))
def test_equal_times_have_an_interval_of_no_width(time: float, count: int) -> None:
    assert statistics.relative_half_width([time] * count, seed=1) == 0


def test_an_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(7)
    covered = 0
    for seed in range(200):
        low, high = statistics.bootstrap_interval(list(random.normal(10, 1, 40)), seed=seed)
        covered += low <= 10 <= high
    assert 0.90 <= covered / 200 <= 0.99


def test_many_values_are_drawn_in_parts_that_fit_into_memory() -> None:
    values = list(np.random.default_rng(3).normal(1, 0.1, 300_000)[:2500])
    low, high = statistics.bootstrap_interval(values, seed=0)
    assert low < statistics.median(values) < high


@pytest.mark.parametrize(
    ("values", "stable"),
    [
        ([1.0] * 5, False),  # two groups of three are needed
        ([1.0] * 6, True),
        ([9.0, 9.0, 9.0, 1.0, 1.0, 1.0], False),
        ([9.0, 1.0, 1.0, 1.0, 1.0, 9.0], True),  # one slow step is no trend
        ([9.0, 9.0, 1.00, 1.00, 1.00, 1.04, 1.04, 1.04], True),
        ([1.00, 1.00, 1.00, 0.94, 0.94, 0.94], False),
    ],
)
def test_times_are_stable_when_two_groups_agree(values: list[float], stable: bool) -> None:  # noqa: FBT001 a table's column
    assert statistics.is_stable(values) is stable


def test_no_values_and_no_time_are_errors() -> None:
    with pytest.raises(ValueError, match="no values"):
        statistics.median([])
    with pytest.raises(ValueError, match="positive median"):
        statistics.relative_half_width([0.0], seed=0)
