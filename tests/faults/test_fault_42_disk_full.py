"""Fault 42: the controller's disk is full; what was there before stays as it was."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import VDL, WORLD, Done, Site, served
from tests.e2e.test_report import make_run


def run_full(site: Site, kibibytes: int, *words: str) -> Done:
    """Run vdl where no file may become larger; to a program that is a full disk."""
    script = f'ulimit -f {kibibytes}; exec "$0" "$@"'
    done = subprocess.run(
        ["/bin/bash", "-c", script, VDL, *words], cwd=site.folder, env=site.env(), check=False,
        stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", timeout=60,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a site with one machine whose guest answers, and the results of an earlier run."""
    folder = tmp_path_factory.mktemp("full")
    with served(folder, WORLD.replace("guests: none", "guests: ssh")) as site:
        lab = site.lab("lab", cpu={}, benchmark=[{"model": "mnist", "time_limit": 1}])
        site.vdl("provision", lab, "--yes").good()
        site.vdl("inventory", lab).good()
        make_run(folder / "results")
        yield site


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kibibytes", [0, 1, 100])
def test_fault_42_a_run_that_finds_no_room_harms_no_earlier_one(site: Site, kibibytes: int) -> None:
    before = contents(site.folder / "results" / "vroom")
    done = run_full(site, kibibytes, "bench")
    assert done.code == 1
    assert "File too large" in done.err
    assert "Traceback" not in done.err
    assert contents(site.folder / "results" / "vroom") == before
    report = site.vdl("report", next((site.folder / "results" / "vroom").iterdir()), "-o", "json")
    assert len(report.good().json["comparisons"]) == 1


def test_fault_42_a_report_that_finds_no_room_says_so(tmp_path: Path) -> None:
    alone = Site(tmp_path)
    folder = make_run(tmp_path / "results")
    before = contents(folder)
    done = run_full(alone, 1, "report")
    assert done.code == 1
    assert "the report can't be written" in done.err
    after = contents(folder)
    assert {path: after[path] for path in before} == before
    assert "report.html" in alone.vdl("report").good().err


@pytest.mark.parametrize("command", ["init", "provision"])
def test_fault_42_other_commands_say_so_too(site: Site, command: str) -> None:
    if command == "init":
        done = run_full(site, 0, "init", "new.yaml")
        assert (done.code, done.out) == (2, "")
        assert "File too large" in done.err
        assert not (site.folder / "new.yaml").exists()
    else:
        # Needs no disk of its own, so it works.
        done = run_full(site, 0, "provision", "lab.yaml", "--yes")
        assert done.code == 0
    assert "Traceback" not in done.err


@pytest.mark.parametrize("where", ["/proc/nowhere", "key.pub"])
def test_fault_42_a_results_folder_that_cannot_be_made_is_refused(site: Site, where: str) -> None:
    done = site.vdl("bench", "--results", where)
    assert done.code in {1, 2}
    assert where in done.err
    assert "Traceback" not in done.err
