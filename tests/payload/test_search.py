"""The search for the largest batch: which sizes it tries, and how it reads a try."""

import pytest

from payload.tuning.search import FINENESS, LARGEST, largest, outcome


@pytest.mark.parametrize("start", [1, 32, 64, 5000])
@pytest.mark.parametrize("limit", [1, 2, 17, 63, 64, 65, 1000, 4096, 99_999])
def test_the_largest_batch_is_found_to_a_sixteenth(limit: int, start: int) -> None:
    tried: list[int] = []

    def fits(batch_size: int) -> bool:
        tried.append(batch_size)
        return batch_size <= limit

    found = largest(fits, start)
    assert found <= limit <= found + max(1, found // FINENESS)
    assert found in tried
    assert len(tried) == len(set(tried)) < 30


def test_where_nothing_fits_the_answer_is_none() -> None:
    assert largest(lambda _batch_size: False, 64) == 0


def test_a_search_does_not_go_on_for_ever() -> None:
    assert largest(lambda _batch_size: True, 64) == LARGEST


@pytest.mark.parametrize(
    ("reasons", "code"),
    [
        ([], "fits"),
        (["out-of-memory: no room"], "out-of-memory"),
        (["diverged: the loss became nan", "x: y"], "diverged"),
    ],
)
def test_a_try_is_read_by_the_first_reason_of_its_document(reasons: list[str], code: str) -> None:
    assert outcome({"reasons": reasons}) == code
