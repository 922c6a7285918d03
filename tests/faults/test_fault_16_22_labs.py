"""Faults 16 and 22: what a lab file and vCenter say of each other is refused, not guessed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from provision.simulator.server import Simulator
from tests.e2e.site import WORLD, Site, settings
from tests.e2e.vcenter import administrator, vm_names, vms
from tests.faults.apply_site import wait_for_task


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Simulator.from_text(WORLD, folder=tmp_path / "vcenter") as simulator:
        door = asdict(simulator.serve())
        yield Site(tmp_path, settings(door), door)


def test_fault_16_two_vms_that_are_the_same_machine_are_named_with_their_paths(site: Site) -> None:
    lab = site.lab("twin", cpu={})
    site.vdl("provision", lab, "--yes").good()
    with administrator(site) as content:
        copy(content, "twin-cpu-1", "twin-copy")
    done = site.vdl("provision", lab, "--yes")
    done.refused(3, "/DC0/vm/vdl/twin-cpu-1", "/DC0/vm/vdl/twin-copy")
    assert vm_names(site) == ["stranger", "twin-copy", "twin-cpu-1", "ubuntu-24.04"]


def copy(content: Any, name: str, new: str) -> None:
    """Copy a VM with its identity, as a careless restore from a backup does."""
    vm = vms(content)[name]
    config = vim.vm.ConfigSpec(
        instanceUuid=vm.config.instanceUuid,
        extraConfig=[o for o in vm.config.extraConfig if o.key.startswith("vdl.")],
    )
    spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(), config=config, powerOn=False)
    wait_for_task(vm.Clone(vm.parent, new, spec))


def test_fault_22_a_shrunk_lab_is_not_deleted_without_consent(site: Site) -> None:
    site.vdl("provision", site.lab("small", cpu={"count": 3}), "--yes").good()
    lab = site.lab("small", cpu={"count": 1})
    site.vdl("provision", lab, "--yes").refused(3, "shrink", "--allow-shrink")
    assert [n for n in vm_names(site) if "small" in n] == [f"small-cpu-{n}" for n in (1, 2, 3)]
    done = site.vdl("provision", lab, "--yes", "--allow-shrink", "-o", "json").good()
    assert done.json["ok"]
    assert vm_names(site) == ["small-cpu-1", "stranger", "ubuntu-24.04"]
