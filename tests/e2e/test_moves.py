"""Machines that are not where their groups ask them to be, and what brings them there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyVmomi import vim

from tests.e2e.site import Site, served
from tests.e2e.vcenter import administrator, vms
from tests.faults.apply_site import wait_for_task

WORLD = """
guests: none
DC0:
  templates: {ubuntu-24.04: {}}
  clusters:
    gpu:
      hosts: {"esx-[01-03]": {cards: {model: A100-80}}}
  datastores: {vsan: 20 TiB}
"""
VGPU = {"vgpu": "grid_a100d-40c"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served(tmp_path, WORLD) as site:
        yield site


def hosts(site: Site) -> dict[str, str]:
    with administrator(site) as content:
        return {n: vm.runtime.host.name for n, vm in vms(content).items() if n.startswith("lab-")}


def by_hand(site: Site, name: str, host: str) -> None:
    """Power a machine off and move it, as an administrator does."""
    with administrator(site) as content:
        vm = vms(content)[name]
        target = next(h for h in vm.runtime.host.parent.host if h.name == host)
        wait_for_task(vm.PowerOff())
        wait_for_task(vm.Relocate(vim.vm.RelocateSpec(host=target)))


def uuids(site: Site) -> list[str]:
    with administrator(site) as content:
        return sorted(vm.config.instanceUuid for n, vm in vms(content).items() if "lab-" in n)


def test_a_running_machine_moves_by_consent_alone(site: Site) -> None:
    site.vdl("provision", site.lab("lab", one={"gpu": VGPU, "host": "esx-01"}), "--yes").good()
    before, lab = uuids(site), site.lab("lab", one={"gpu": VGPU, "host": "esx-03"})
    shown = site.vdl("plan", lab).good().out
    for words in ("warning: affinity", "asks for esx-03", "vdl provision --allow-restart"):
        assert words in shown
    assert "nothing to do" in site.vdl("provision", lab, "--yes").good().err
    assert hosts(site) == {"lab-one-1": "esx-01"}
    done = site.vdl("provision", lab, "--yes", "--allow-restart").good()
    for words in ("its group asks for another, so it moves", "esx-01 → esx-03", "drift-restart"):
        assert words in done.err
    assert (hosts(site), uuids(site)) == ({"lab-one-1": "esx-03"}, before)
    assert site.vdl("plan", lab, "--check").good()


def test_a_machine_that_is_off_moves_where_its_group_asks(site: Site) -> None:
    lab = site.lab("lab", apart={"count": 2, "gpu": VGPU, "spread": True})
    site.vdl("provision", lab, "--yes").good()
    first = hosts(site)["lab-apart-1"]
    by_hand(site, "lab-apart-2", first)
    assert set(hosts(site).values()) == {first}
    done = site.vdl("provision", lab, "--yes").good()
    assert "lab-apart-2: unfinished: powered off; its group asks for another" in done.err
    assert len(set(hosts(site).values())) == 2
    assert site.vdl("plan", lab, "--check").good()


def test_a_machine_that_is_off_moves_where_its_card_was_taken(site: Site) -> None:
    lab = site.lab("lab", one={"gpu": {"vgpu": "grid_a100d-80c"}})
    site.vdl("provision", lab, "--yes").good()
    (home,) = hosts(site).values()
    with administrator(site) as content:
        wait_for_task(vms(content)["lab-one-1"].PowerOff())
    other = site.lab("other", taker={"gpu": {"vgpu": "grid_a100d-80c"}, "host": home})
    site.vdl("provision", other, "--yes").good()
    before = uuids(site)
    done = site.vdl("provision", lab, "--yes").good()
    assert "its host has no room, so it moves" in done.err
    assert (list(hosts(site).values()) != [home], uuids(site)) == (True, before)


def test_settings_that_were_taken_from_a_machine_that_is_off_come_back(site: Site) -> None:
    lab = site.lab("lab", one={"gpu": VGPU})
    site.vdl("provision", lab, "--yes").good()
    size = "pciPassthru.64bitMMIOSizeGB"
    with administrator(site) as content:
        vm = vms(content)["lab-one-1"]
        wait_for_task(vm.PowerOff())
        gone = [vim.option.OptionValue(key=size, value="")]
        wait_for_task(vm.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=gone)))
    shown = site.vdl("plan", lab).good().out
    assert f"{size} none → 256" in shown
    site.vdl("provision", lab, "--yes").good()
    assert site.vdl("plan", lab, "--check").good()
    with administrator(site) as content:
        extra = {o.key: o.value for o in vms(content)["lab-one-1"].config.extraConfig}
    assert extra[size] == "256"
