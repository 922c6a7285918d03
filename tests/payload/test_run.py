import io
from typing import Any

import pytest

from payload.interrupt import StopRequest
from payload.progress import Progress
from payload.run import run
from payload.settings import Settings


def test_a_defect_is_raised_after_its_document_is_delivered() -> None:
    delivered: list[dict[str, Any]] = []
    progress = Progress(io.StringIO(), lambda: 0.0, batch_size=8)
    with pytest.raises(KeyError, match="alexnet"):
        run(Settings("alexnet", 8), StopRequest(), progress, delivered.append)
    (document,) = delivered
    assert document["valid"] is False
    assert document["reasons"] == ["defect: KeyError: 'alexnet'"]
    assert document["finished"] >= document["started"]


def test_too_short_a_time_limit_gives_a_document_without_figures() -> None:
    delivered: list[dict[str, Any]] = []
    progress = Progress(io.StringIO(), lambda: 0.0, batch_size=8)
    run(Settings("mnist", 8, time_limit=1e-6), StopRequest(), progress, delivered.append)
    (document,) = delivered
    assert document["stopped_by"] == "time-limit"
    assert document["throughput"]["median"] is None
    assert document["throughput"]["first_step_seconds"] > 0
    (reason,) = document["reasons"]
    assert reason.startswith("too-few-steps: 0 timed")
