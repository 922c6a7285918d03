"""`vdl bench --distributed` on two simulated machines with real SSH guests."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.site import WORLD, served


@pytest.mark.sweep
def test_two_machines_of_a_group_train_one_model(tmp_path: Path) -> None:
    world = WORLD.replace("guests: none", "guests: ssh")
    with served(tmp_path, world) as site:
        benchmark = [{"model": "mnist", "batch_size": [16], "time_limit": 2}]
        lab = site.lab("duo", cpu={"count": 2}, benchmark=benchmark)
        site.vdl("provision", lab, "--yes").good()
        python = ("--payload-python", sys.executable)
        site.vdl("configure", lab, *python).good()
        patient = replace(site, patience=280)
        folder = (
            site.folder / patient.vdl("bench", lab, *python, "--distributed").good().out.strip()
        )
        shown = site.vdl("report", folder, "-o", "json").good().json
        page = site.vdl("report", folder).good()
    (job,) = shown["jobs"]
    assert job["machines"] == ["duo-cpu-1", "duo-cpu-2"]
    assert job["valid"], job["reasons"]
    assert job["efficiency"] > 0
    assert job["gradient_bytes"] == 4 * 3_274_634
    assert len(shown["comparisons"][0]["results"]) == 2  # each machine alone, and no worker
    assert "several machines, one model" in page.out
    assert "simulated" in page.out
    (whole,) = folder.glob("together/cpu/*/job.json")
    assert json.loads(whole.read_text())["weights_equal"]


def test_a_lab_without_a_pair_has_nothing_to_train_together(tmp_path: Path) -> None:
    world = WORLD.replace("guests: none", "guests: ssh")
    with served(tmp_path, world) as site:
        lab = site.lab("solo", cpu={}, benchmark=[{"model": "mnist"}])
        site.vdl("provision", lab, "--yes").good()
        refused = site.vdl("bench", lab, "--distributed")
        refused.refused(2, "nothing can be trained on several machines together")
