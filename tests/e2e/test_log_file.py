"""`--log-file`: what is left to read when the terminal is gone."""

import json
from pathlib import Path

import pytest

from tests.e2e.site import Site


@pytest.fixture
def site(fresh_site: Site) -> Site:
    return fresh_site


def read(path: Path) -> list[tuple[str, str]]:
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [(line["machine"], line["step"]) for line in lines if line["phase"] == "done"]


def test_provision_and_destroy_append_to_one_file(site: Site) -> None:
    lab, log = site.lab("logged", cpu={}), site.folder / "vdl.jsonl"
    site.vdl("provision", lab, "--yes", "--log-file", log).good()
    built = read(log)
    assert ("logged-cpu-1", "power on") in built
    site.vdl("destroy", lab, "--yes", "--log-file", log).good()
    assert read(log) == [*built, ("logged-cpu-1", "shut down"), ("logged-cpu-1", "destroy")]


@pytest.mark.parametrize("command", ["provision", "up"])
def test_a_log_file_that_can_not_be_written_changes_nothing(site: Site, command: str) -> None:
    lab = site.lab("logged", cpu={})
    done = site.vdl(command, lab, "--yes", "--log-file", site.folder / "missing" / "log")
    done.refused(2, "log file can't be written")
