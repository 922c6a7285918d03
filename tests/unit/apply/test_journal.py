"""What the log file of a run holds."""

import json
import os
from pathlib import Path

import pytest

from provision.apply.events import Event, Phase
from provision.apply.journal import Journal
from provision.apply.pipeline import Step
from provision.errors import UsageError
from tests.unit.apply.site import Site

STARTED = Event("vroom-cpu-1", Step.CLONE, Phase.STARTED, operation="vdl-1-1")


def test_a_line_has_a_key_for_everything_and_null_for_what_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with Journal(path, "vroom") as journal:
        journal.write(STARTED)
        journal.write(Event("vroom-cpu-1", Step.CLONE, Phase.FAILED, 1.23456, "a\nb", "vm-7"))
    first, second = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "lab": "vroom",
        "machine": "vroom-cpu-1",
        "step": "clone",
        "phase": "started",
        "seconds": None,
        "vm": None,
        "task": None,
        "operation": "vdl-1-1",
        "message": None,
    }
    assert (second["seconds"], second["message"], second["vm"]) == (1.235, "a\nb", "vm-7")


def test_the_file_is_appended_to_and_each_line_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n", encoding="utf-8")
    with Journal(path, "vroom") as one, Journal(path, "other") as other:
        one.write(STARTED)
        other.write(STARTED)
        lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "before"
    assert [json.loads(line)["lab"] for line in lines[1:]] == ["vroom", "other"]


def test_a_file_that_can_not_be_written_is_refused_before_anything_happens(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="log file can't be written"):
        Journal(tmp_path / "missing" / "log", "vroom")


def test_a_full_disk_ends_the_journal_and_not_the_run(site: Site) -> None:
    with Journal(Path("/dev/full"), "vroom") as journal:
        assert site.run(site.create("cpu-1"), journal=journal.write).ok
    assert journal.error is not None
    assert journal.error.strerror == os.strerror(journal.error.errno) == "No space left on device"


def test_a_run_tells_its_journal_all_that_it_tells_people(site: Site) -> None:
    heard: list[Event] = []
    site.run(site.create("cpu-1"), site.create("cpu-2"), journal=heard.append)
    assert heard == site.events
    begun = [event.operation for event in heard if event.phase is Phase.STARTED]
    assert len(set(begun)) == len(begun) == 10
    ended = [event.vm_id for event in heard if event.phase is Phase.DONE]
    assert set(ended) == {"vm-vroom-cpu-1", "vm-vroom-cpu-2"}
