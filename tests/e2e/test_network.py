"""Machines whose network card is not on the lab's network, over standard and distributed ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyVmomi import vim

from tests.e2e.site import Site, served
from tests.e2e.vcenter import administrator, vms
from tests.faults.apply_site import wait_for_task

WORLD = """
guests: none
DC0:
  templates: {ubuntu-24.04: {}}
  clusters: {gpu: {hosts: {"esx-[01-02]": {}}}}
  datastores: {vsan: 20 TiB}
  networks: [VM Network, office]
  switches: {dvs: [lab-net, other-net]}
"""
Ethernet = vim.vm.device.VirtualEthernetCard


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served(tmp_path, WORLD) as site:
        yield site


def lab_on(site: Site, network: str) -> Path:
    path = site.lab("wire", cpu={"count": 2})
    text = yaml.safe_load(path.read_text())
    text["vcenter"]["network"] = network
    path.write_text(yaml.safe_dump(text))
    return path


def networks(site: Site) -> dict[str, list[str]]:
    """Return the names of the networks that each machine is on."""
    with administrator(site) as content:
        found = vms(content)
        return {n: [net.name for net in vm.network] for n, vm in found.items() if "wire" in n}


def card(vm: Any) -> Any:
    return next(d for d in vm.config.hardware.device if isinstance(d, Ethernet))


def rewire(site: Site, name: str, change: Any) -> None:
    """Change a machine's network card as an administrator does by hand."""
    with administrator(site) as content:
        vm = vms(content)[name]
        spec = vim.vm.ConfigSpec(deviceChange=[change(vm, card(vm))])
        wait_for_task(vm.ReconfigVM_Task(spec))


def to_office(vm: Any, nic: Any) -> Any:
    office = next(n for n in vm.runtime.host.network if n.name == "office")
    nic.backing = Ethernet.NetworkBackingInfo(deviceName="office", network=office)
    return vim.vm.device.VirtualDeviceSpec(operation="edit", device=nic)


def unplug(_vm: Any, nic: Any) -> Any:
    return vim.vm.device.VirtualDeviceSpec(operation="remove", device=nic)


def test_a_card_that_was_moved_by_hand_comes_back_in_place(site: Site) -> None:
    lab = lab_on(site, "lab-net")
    site.vdl("provision", lab, "--yes").good()
    assert set(map(tuple, networks(site).values())) == {("lab-net",)}
    assert site.vdl("plan", lab, "--check").good()
    with administrator(site) as content:
        before = card(vms(content)["wire-cpu-1"])
    rewire(site, "wire-cpu-1", to_office)
    site.vdl("provision", lab, "--yes").refused(3, "drift-restart", "office → lab-net")
    site.vdl("provision", lab, "--yes", "--allow-restart").good()
    assert set(map(tuple, networks(site).values())) == {("lab-net",)}
    with administrator(site) as content:
        after = card(vms(content)["wire-cpu-1"])
    assert (after.key, after.macAddress) == (before.key, before.macAddress)
    assert site.vdl("plan", lab, "--check").good()


def test_another_network_in_the_lab_file_replaces_no_machine(site: Site) -> None:
    site.vdl("provision", lab_on(site, "VM Network"), "--yes").good()
    with administrator(site) as content:
        before = {name: vm.config.instanceUuid for name, vm in vms(content).items()}
    lab = lab_on(site, "other-net")
    done = site.vdl("provision", lab, "--yes", "--allow-restart").good()
    assert "VM Network → other-net" in done.err
    assert set(map(tuple, networks(site).values())) == {("other-net",)}
    with administrator(site) as content:
        assert {name: vm.config.instanceUuid for name, vm in vms(content).items()} == before
    assert site.vdl("plan", lab, "--check").good()


def test_a_card_that_was_taken_out_is_put_in_again(site: Site) -> None:
    lab = lab_on(site, "VM Network")
    site.vdl("provision", lab, "--yes").good()
    rewire(site, "wire-cpu-2", unplug)
    done = site.vdl("provision", lab, "--yes", "--allow-restart").good()
    assert "none → VM Network" in done.err
    assert networks(site)["wire-cpu-2"] == ["VM Network"]


def test_a_network_that_is_gone_is_said_also_where_nothing_is_made(site: Site) -> None:
    site.vdl("provision", lab_on(site, "VM Network"), "--yes").good()
    refused = site.vdl("plan", lab_on(site, "away"))
    assert (refused.code, "network-missing" in refused.out) == (3, True)
