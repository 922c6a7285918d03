"""The search for the largest batch: which sizes it tries, and how it reads a try."""

import pytest

from payload.document import Json
from payload.interrupt import StopRequest
from payload.settings import Settings
from payload.tuning import search as searching
from payload.tuning.search import FINENESS, LARGEST, Search, largest, outcome


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


def document(*, fits: bool) -> Json:
    return {"reasons": [] if fits else ["out-of-memory: no room"]}


@pytest.mark.parametrize(
    ("long_limit", "runs"), [(100, [100]), (95, [100, 96, 64]), (9, [100, 96, 64, 32])]
)
def test_a_size_that_a_long_run_has_no_room_for_gives_way_to_the_next_smaller_that_fitted(
    monkeypatch: pytest.MonkeyPatch, long_limit: int, runs: list[int]
) -> None:
    def try_apart(settings: Settings, *_: object, **__: object) -> Json:
        return document(fits=settings.batch_size <= 100)

    ran: list[int] = []

    def run(batch_size: int) -> Json:
        ran.append(batch_size)
        return document(fits=batch_size <= long_limit)

    monkeypatch.setattr(searching, "run_apart", try_apart)
    search = Search(Settings("mnist", 32), StopRequest(), lambda _line: None)
    found = search.measure(run)
    assert ran == runs
    assert outcome(found) == ("fits" if runs[-1] <= long_limit else "out-of-memory")
    tries = [(tried["batch_size"], tried["outcome"]) for tried in search.describe()["tries"]]
    assert tries[7:] == [(batch_size, "out-of-memory") for batch_size in runs[:-1]]


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
