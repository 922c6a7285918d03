"""Commands that work inside guests, on one simulated machine with a real SSH guest."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e.site import WORLD, Site, served
from tests.guests.metal import own_inventory
from tests.guests.sshd import ssh_lab


@pytest.mark.slow
def test_machines_are_configured_measured_and_compared_with_bare_metal(tmp_path: Path) -> None:
    world = WORLD.replace("guests: none", "guests: ssh")
    (tmp_path / "rack").mkdir()
    with served(tmp_path, world) as site, ssh_lab(tmp_path / "rack", "metal-1") as rack:
        site.patience = 240  # two machines train, one after the other
        lab = site.lab("real", cpu={}, benchmark=[{"model": "mnist", "time_limit": 1}])
        site.vdl("provision", lab, "--yes").good()
        inventory_names_it(site, lab)
        python = ("--payload-python", sys.executable)
        first = site.vdl("configure", lab, *python, "-o", "json").good().json
        assert [(m["machine"], m["done"]) for m in first["machines"]] == [("real-cpu-1", True)]
        second = site.vdl("configure", lab, *python, "-o", "json").good().json
        (machine,) = second["machines"]
        assert (machine["done"], machine["changed"], machine["message"]) == (True, 0, None)
        assert (machine["gate"]["passed"], machine["gate"]["reasons"]) == (True, [])

        metal = own_inventory(tmp_path, rack.guests["metal-1"], vdl_gpu_count=0)
        benched = site.vdl("bench", lab, *python, "-i", metal, "-o", "json").good().json
        folder = benched["results"]
        assert (site.folder / folder / "run.json").is_file()
        assert [list(machine["runs"].values()) for machine in benched["machines"]] == [[0], [0]]
        (comparison,) = site.vdl("report", folder, "-o", "json").good().json["comparisons"]
        assert (comparison["baseline"], comparison["invalid"]) == ("bare-metal", [])
        rows = {row["machine"]["name"]: row for row in comparison["results"]}
        assert rows["metal-1"]["machine"]["gpu_mode"] == "bare-metal"
        assert rows["metal-1"]["ratio"]["median"] == 1
        assert rows["real-cpu-1"]["machine"]["simulated"] is True
        assert rows["real-cpu-1"]["images_per_second"]["median"] > 0


def inventory_names_it(site: Site, lab: Path) -> None:
    done = site.vdl("inventory", lab, "-o", "json").good()
    variables = done.json["_meta"]["hostvars"]["real-cpu-1"]
    assert variables["ansible_user"] == "vdl"
    assert variables["vdl_gpu_mode"] == "none"
    text = site.vdl("inventory", lab).good().out
    assert f"{variables['ansible_host']}" in text


def test_a_machine_that_proves_no_key_is_left_out_and_named(fresh_site: Site) -> None:
    lab = fresh_site.lab("mute", cpu={})
    fresh_site.vdl("provision", lab, "--yes").good()
    done = fresh_site.vdl("inventory", lab, "-o", "json").good()
    assert done.json["_meta"]["hostvars"] == {}
    assert "left out: mute-cpu-1: the guest publishes no SSH host key" in done.err
    failed = fresh_site.vdl("configure", lab, "-o", "json", "--deadline", "0.05")
    assert failed.code == 1
    assert "waiting for the SSH host keys of mute-cpu-1" in failed.err
    assert "1 of 1 machines could not be configured" in failed.err
    (machine,) = failed.json["machines"]
    assert (machine["machine"], machine["unreachable"]) == ("mute-cpu-1", True)
    assert "publishes no SSH host key" in machine["message"]
    fresh_site.vdl("destroy", lab, "--yes").good()
