"""How hosts are set up for vGPUs is read, and what is missing is named by the plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.plan.planner import plan
from provision.plan.snapshot import Snapshot
from provision.spec.model import Lab
from provision.vsphere.snapshot_reader import read_snapshot
from tests.unit.vsphere.site import Site, make_lab, open_site

WORLD = """
vcenter: {api: 8.0.2.0}
DC0:
  templates: {ubuntu-24.04: {hardware: 20, disk: 40 GiB}}
  clusters:
    gpu:
      hosts:
        bare: {cards: {count: 2, model: A100-80}, vgpu_manager: false}
        whole: {cards: {model: A100-80, mode: passthrough}, vgpu_manager: false}
        older: {cards: {model: A100-80}, graphics: shared, vgpu_manager: false}
        cpus: {}
  datastores: {vsan: 20 TiB}
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path, WORLD) as site:
        yield site


def read(site: Site, lab: Lab) -> Snapshot:
    with site.session() as session:
        return read_snapshot(session, lab)


def test_a_vgpu_manager_is_missed_only_where_cards_are_shared(site: Site) -> None:
    hosts = {host.name: host for host in read(site, make_lab()).hosts}
    missed = {name for name, host in hosts.items() if not host.vgpu_manager}
    assert missed == {"bare"}
    assert hosts["bare"].profiles == ()


def test_the_plan_says_what_each_host_lacks(site: Site) -> None:
    lab = make_lab(shared={"gpu": {"vgpu": "grid_a100d-10c"}})
    found = plan(lab, read(site, lab)).findings
    assert [f.code for f in found] == ["graphics-mode", "version-vgpu-mode"]
    assert "vGPU manager is missing" in found[0].message
    assert "not in shared direct" in found[0].message
    assert "8.0.2" in found[1].message
