"""Destroying a lab: what is gone, renamed, moved, running or somebody else's."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyVmomi import vim

from provision.apply.deadlines import Deadlines
from provision.apply.destroy import destroy, destroy_plan
from provision.apply.result import Result
from provision.apply.runner import Options
from provision.plan.snapshot import Vm
from provision.spec.model import Lab
from provision.vsphere.session import Session
from tests.faults.apply_site import WORLD, Site, gpus, make_lab, open_site, wait_for_task


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path) as site:
        yield site


def doomed(site: Site, lab: Lab) -> tuple[Vm, ...]:
    return destroy_plan(lab.lab, site.snapshot(lab))


def destroy_all(site: Site, vms: tuple[Vm, ...]) -> Result:
    with site.vcenter() as vcenter:
        options = Options(deadlines=Deadlines(shut_down=2.0))
        return destroy("vroom", vms, vcenter, options=options)


def names(site: Site, lab: Lab) -> list[str]:
    return sorted(vm.name for vm in site.snapshot(lab).vms)


def test_fault_20_what_is_already_gone_is_a_success(site: Site) -> None:
    lab = make_lab(gpu=gpus(2))
    assert site.provision(lab).ok
    vms = doomed(site, lab)
    assert len(vms) == 2
    assert destroy_all(site, vms).ok
    assert destroy_all(site, vms).ok
    assert names(site, lab) == ["stranger"]


def test_fault_20_a_renamed_and_moved_vm_is_found_and_strangers_are_not(site: Site) -> None:
    lab, other = make_lab(cpu={"count": 2}), make_lab("other", cpu={"count": 1})
    assert site.provision(lab).ok
    assert site.provision(other).ok
    with Session(site.settings) as session:
        vm = session.ref(vim.VirtualMachine, doomed(site, lab)[0].id)
        wait_for_task(vm.Rename_Task(newName="somebody"))
        wait_for_task(vm.parent.parent.MoveIntoFolder_Task(list=[vm]))
    vms = doomed(site, lab)
    assert {vm.name for vm in vms} == {"somebody", "vroom-cpu-2"}
    assert destroy_all(site, vms).ok
    assert names(site, lab) == ["other-cpu-1", "stranger"]


def test_fault_21_a_running_guest_is_asked_to_shut_down(site: Site) -> None:
    lab = make_lab(gpu=gpus(1))
    assert site.provision(lab).ok
    assert destroy_all(site, doomed(site, lab)).ok
    assert site.sent("ShutdownGuest") == 1
    assert site.sent("PowerOffVM_Task") == 0
    assert all(not card.uses for host in site.snapshot(lab).hosts for card in host.cards)


def test_fault_21_a_guest_that_does_not_shut_down_is_powered_off(tmp_path: Path) -> None:
    lab = make_lab(gpu=gpus(1))
    with open_site(tmp_path, WORLD.replace("disk: 40 GiB", "disk: 40 GiB, stubborn: true")) as site:
        assert site.provision(lab).ok
        assert destroy_all(site, doomed(site, lab)).ok
        assert site.sent("ShutdownGuest") == 1
        assert site.sent("PowerOffVM_Task") == 1
        assert names(site, lab) == ["stranger"]
