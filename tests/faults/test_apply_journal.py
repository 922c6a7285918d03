"""What the journal tells of a run, and how vCenter's own logs are found from it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.apply.journal import Journal
from tests.faults.apply_kill import Killer, Moment, journaled_lab, run_killed
from tests.faults.apply_site import Site, gpus, make_lab, open_site

LAB = make_lab(gpu=gpus(2))
TASKS = {"clone": "CloneVM_Task", "attach": "ReconfigVM_Task", "power on": "PowerOnVM_Task"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path) as site:
        yield site


def read(path: Path) -> list[dict[str, str | None]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_task_is_in_the_journal_under_the_operation_that_vcenter_knows(site: Site) -> None:
    path = site.folder / "log"
    with Journal(path, LAB.lab) as journal:
        assert site.provision(LAB, journal=journal.write).ok
    begun = [line for line in read(path) if line["phase"] == "task"]
    assert sorted(line["step"] for line in begun) == sorted([*TASKS, *TASKS])
    assert len({line["task"] for line in begun}) == 6
    logged = set(site.simulator.world.operations)
    for line in begun:
        assert line["task"].startswith("task-")
        assert (line["operation"], TASKS[line["step"]]) in logged
    assert all(line["vm"].startswith("vm-") for line in begun if line["step"] != "clone")


def test_people_are_told_of_steps_and_not_of_tasks(site: Site) -> None:
    assert site.provision(LAB).ok
    assert "task" not in {event.phase.value for event in site.events}


def test_fault_18_a_killed_run_leaves_whole_lines_that_say_where_it_stood(site: Site) -> None:
    run_killed(site, journaled_lab, LAB, Killer("ReconfigVM_Task", 1, Moment.DURING))
    lines = read(site.folder / "log")
    ended = {(line["machine"], line["step"]) for line in lines if line["phase"] == "done"}
    under_way = [
        line
        for line in lines
        if line["phase"] == "started" and (line["machine"], line["step"]) not in ended
    ]
    assert "attach" in {line["step"] for line in under_way}
    logged = set(site.simulator.world.operations)
    assert any((line["operation"], "ReconfigVM_Task") in logged for line in under_way)


def test_nothing_secret_is_in_the_journal(site: Site) -> None:
    path = site.folder / "log"
    site.break_(on="PowerOnVM_Task", nth=1, fault="InsufficientGraphicsResourcesFault")
    with Journal(path, LAB.lab) as journal:
        assert not site.provision(LAB, journal=journal.write).ok
    text = path.read_text(encoding="utf-8")
    assert "InsufficientGraphicsResourcesFault" in text
    assert site.password not in text
