"""docs/large-labs.md says what apply really does."""

from __future__ import annotations

import json
import re
from pathlib import Path

from provision.apply.again import PASSING
from provision.apply.events import Event, Phase
from provision.apply.journal import Journal
from provision.apply.pipeline import Step
from provision.apply.ready import PER_DATASTORE, PER_HOST
from provision.apply.runner import Options
from tests.docs.reading import DOCS, blocks, tables

PAGE = "large-labs.md"
TABLES = tables(PAGE)


def test_the_limits_are_those_of_a_run() -> None:
    defaults = {name: cells[0] for name, cells in TABLES["How much happens at a time"].items()}
    assert defaults == {
        "--parallel": str(Options().parallel),
        "per host": str(PER_HOST),
        "per datastore": str(PER_DATASTORE),
    }


def test_the_faults_that_may_pass_are_all_there() -> None:
    (row,) = (name for name in TABLES["What is tried again"] if "HostCommunication" in name)
    assert set(re.findall(r"`(\w+)`", row)) == PASSING


def test_a_line_of_the_log_file_looks_as_it_says(tmp_path: Path) -> None:
    with Journal(tmp_path / "log", "vroom") as journal:
        journal.write(Event("vroom-cpu-1", Step.CLONE, Phase.STARTED))
    real = json.loads((tmp_path / "log").read_text(encoding="utf-8"))
    (example,) = blocks(PAGE, "json log-file")
    assert list(json.loads(example)) == list(real)
    text = (DOCS / PAGE).read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \| ", text.partition("--log-file FILE")[2], re.MULTILINE) == [
        phase.value for phase in Phase
    ]
