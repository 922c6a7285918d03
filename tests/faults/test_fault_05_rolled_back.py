"""Fault 5: a vCenter that was rolled back, or shows nothing: what is missing is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from provision.simulator.server import Simulator
from tests.e2e.site import WORLD, Site, settings
from tests.e2e.vcenter import administrator, vm_names, vms
from tests.faults.apply_site import wait_for_task

KEPT = ["stranger", "ubuntu-24.04"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Simulator.from_text(WORLD, folder=tmp_path / "vcenter") as simulator:
        door = asdict(simulator.serve())
        yield Site(tmp_path, settings(door), door)


def lose(site: Site, *names: str) -> None:
    """Take VMs out of the inventory behind vdl's back."""
    with administrator(site) as content:
        for name in names:
            vm = vms(content)[name]
            wait_for_task(vm.PowerOffVM_Task())
            wait_for_task(vm.Destroy_Task())


def test_fault_05_what_was_there_and_is_gone_is_named_and_not_made_again(site: Site) -> None:
    lab = site.lab("back", cpu={"count": 3})
    site.vdl("provision", lab, "--yes").good()
    lose(site, "back-cpu-1", "back-cpu-3")
    refused = site.vdl("provision", lab, "--yes")
    refused.refused(3, "machine-gone", "back-cpu-1, back-cpu-3", "--allow-recreate")
    assert vm_names(site) == ["back-cpu-2", *KEPT]
    planned = site.vdl("plan", lab, "-o", "json")
    assert planned.code == 3
    assert [f["code"] for f in planned.json["findings"]] == ["machine-gone"]
    site.vdl("provision", lab, "--yes", "--allow-recreate").good()
    assert vm_names(site) == ["back-cpu-1", "back-cpu-2", "back-cpu-3", *KEPT]


def test_fault_05_an_emptied_inventory_is_refused(site: Site) -> None:
    lab = site.lab("empty", cpu={})
    site.vdl("provision", lab, "--yes").good()
    lose(site, "empty-cpu-1", "stranger")
    with administrator(site) as content:
        wait_for_task(vms(content)["ubuntu-24.04"].Destroy_Task())
    refused = site.vdl("provision", lab, "--yes", "--allow-recreate")
    refused.refused(3, "machine-gone", "empty-cpu-1", "template-missing")
    assert vm_names(site) == []


def test_fault_05_what_vdl_itself_has_deleted_may_be_made_again(site: Site) -> None:
    lab = site.lab("mine", cpu={"count": 2})
    site.vdl("provision", lab, "--yes").good()
    shrunk = site.lab("mine", cpu={"count": 1})
    site.vdl("provision", shrunk, "--yes", "--allow-shrink").good()
    lab = site.lab("mine", cpu={"count": 2})
    site.vdl("provision", lab, "--yes").good()
    site.vdl("destroy", lab, "--yes").good()
    site.vdl("provision", lab, "--yes").good()


def test_fault_05_a_file_that_nobody_can_read_is_named(site: Site) -> None:
    lab = site.lab("torn", cpu={})
    site.vdl("provision", lab, "--yes").good()
    stood = site.folder / ".vdl" / "torn" / "stood.json"
    stood.write_text("{", encoding="utf-8")
    site.vdl("provision", lab, "--yes").refused(2, "stood.json", "delete the file")
    stood.unlink()
    site.vdl("provision", lab, "--yes").good()
