"""Faults 11 and 13: hosts that are away and templates that do not fit, before anything is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from pyVmomi import vim

from provision.simulator.server import Simulator
from tests.e2e.site import PROFILE, Site, settings
from tests.e2e.vcenter import administrator, vm_names
from tests.faults.apply_site import wait_for_task

GPU = {"vgpu": PROFILE}
WORLD = """
guests: none
DC0:
  templates: {{ubuntu-24.04: {template}}}
  clusters:
    gpu:
      hosts:
        esx-[01-02]: {{memory: 512 GiB, cards: {{count: 2, model: A100-80}}, policy: consolidation}}
  datastores: {{vsan: 20 TiB}}
"""
FITTING = "{firmware: efi, hardware: 19, memory: 4 GiB, disk: 40 GiB}"


@contextmanager
def served(folder: Path, template: str = FITTING) -> Iterator[Site]:
    with Simulator.from_text(WORLD.format(template=template), folder=folder / "vcenter") as vcenter:
        door = asdict(vcenter.serve())
        yield Site(folder, settings(door), door)


def take_away(site: Site, name: str, how: str) -> None:
    """Disconnect a host, or send it into maintenance mode, as an administrator does."""
    with administrator(site) as content:
        view = content.viewManager.CreateContainerView(
            content.rootFolder, [vim.HostSystem], recursive=True
        )
        host = next(host for host in view.view if host.name == name)
        gone = how == "disconnected"
        wait_for_task(
            host.DisconnectHost_Task() if gone else host.EnterMaintenanceMode_Task(timeout=0)
        )


@pytest.mark.parametrize("how", ["disconnected", "in maintenance"])
def test_fault_11_machines_go_to_the_hosts_that_are_there(tmp_path: Path, how: str) -> None:
    with served(tmp_path) as site:
        take_away(site, "esx-01", how)
        lab = site.lab("away", shared={"count": 2, "gpu": GPU})
        done = site.vdl("provision", lab, "--yes", "-o", "json").good()
        assert {machine["host"] for machine in done.json["machines"]} == {"esx-02"}


@pytest.mark.parametrize("how", ["disconnected", "in maintenance"])
def test_fault_11_without_a_host_nothing_is_made(tmp_path: Path, how: str) -> None:
    with served(tmp_path) as site:
        for host in ("esx-01", "esx-02"):
            take_away(site, host, how)
        refused = site.vdl("provision", site.lab("away", shared={"gpu": GPU}), "--yes")
        refused.refused(3, "host-unavailable", "esx-01", "esx-02")
        assert vm_names(site) == ["ubuntu-24.04"]


def test_fault_11_a_host_that_goes_after_the_plan_makes_it_stale(tmp_path: Path) -> None:
    with served(tmp_path) as site:
        lab = site.lab("away", shared={"gpu": GPU})
        saved = tmp_path / "saved.json"
        saved.write_text(site.vdl("plan", lab, "-o", "json").good().out, encoding="utf-8")
        take_away(site, "esx-01", "in maintenance")
        site.vdl("provision", lab, "--yes", "--plan", saved).refused(6)
        assert vm_names(site) == ["ubuntu-24.04"]


@pytest.mark.parametrize(
    ("template", "machine", "said"),
    [
        ("{firmware: bios}", GPU, ["template-firmware", "need EFI", "fix: install a template"]),
        (
            "{hardware: 14}",
            {"passthrough": "A100-80"},
            ["template-hardware", "version 14", "fix: upgrade the template's compatibility"],
        ),
        ("{tools: false}", GPU, ["template-tools", "fix: install open-vm-tools"]),
    ],
)
def test_fault_13_a_template_that_does_not_fit_is_refused_with_the_fix(
    tmp_path: Path, template: str, machine: dict[str, str], said: list[str]
) -> None:
    with served(tmp_path, template) as site:
        lab = site.lab("unfit", m={"gpu": machine})
        assert site.vdl("plan", lab).code == 3
        site.vdl("provision", lab, "--yes").refused(3, *said)
        assert vm_names(site) == ["ubuntu-24.04"]
