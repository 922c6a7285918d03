"""Answers that never arrive and tasks that have expired: faults 4, 6 and 24.

In each of them the call is sent once, and the VM itself tells what came of it.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provision.deadline import Deadline
from provision.plan.model import Plan
from provision.plan.snapshot import Power
from provision.vsphere.port import ActionFailed, OutcomeUnknown
from provision.vsphere.retry import within
from provision.vsphere.session import VCenterAway
from provision.vsphere.vcenter import VCenter
from tests.unit.vsphere.site import WORLD, build, make_lab, open_site, soon

SLOW = "latency: {CloneVM_Task: 500 ms}\n" + WORLD
FORGETFUL = "vcenter: {task_retention: 0 s}\n" + WORLD
LAB = make_lab(
    shared={"count": 1, "disk": "60 GiB", "gpu": {"vgpu": "grid_a100d-10c"}},
)
CHANGES = ["CloneVM_Task", "ReconfigVM_Task", "PowerOnVM_Task"]


def assert_complete(vcenter: VCenter, plan: Plan, vm_id: str) -> None:
    """The one VM of the lab is on and has all that was asked for."""
    (vm,) = vcenter.vms_of_lab(LAB)
    assert (vm.id, vm.name, vm.power) == (vm_id, plan.actions[0].machine, Power.ON)
    assert [gpu.value for gpu in vm.gpus] == ["grid_a100d-10c"]


@pytest.mark.parametrize("method", CHANGES)
def test_fault_06_a_lost_response_is_resolved_by_looking_at_the_vm(
    tmp_path: Path, method: str
) -> None:
    with open_site(tmp_path) as site, site.ready(LAB) as (vcenter, plan):
        site.break_(on=method, nth=1, lose="response")
        vm = build(vcenter, plan, plan.actions[0])
        assert site.calls(method) == 1
        assert_complete(vcenter, plan, vm)


def test_fault_06_a_clone_still_under_way_is_waited_for(tmp_path: Path) -> None:
    with open_site(tmp_path, SLOW) as site, site.ready(LAB) as (vcenter, plan):
        site.break_(on="CloneVM_Task", nth=1, lose="response")
        vm = build(vcenter, plan, plan.actions[0])
        assert site.calls("CloneVM_Task") == 1
        assert_complete(vcenter, plan, vm)


def test_fault_06_lost_clones_among_others_are_each_found(tmp_path: Path) -> None:
    lab = make_lab(cpu={"count": 12})
    with open_site(tmp_path, SLOW) as site, site.ready(lab) as (vcenter, plan):
        site.break_(on="CloneVM_Task", every=3, lose="response")
        with ThreadPoolExecutor(12) as pool:
            made = list(pool.map(lambda action: vcenter.clone(plan, action, soon()), plan.actions))
        assert site.calls("CloneVM_Task") == 12
        found = {vm.machine: vm.id for vm in vcenter.vms_of_lab(lab)}
        assert [found[action.machine] for action in plan.actions] == made


def test_fault_06_a_deletion_whose_response_is_lost_has_happened(tmp_path: Path) -> None:
    with open_site(tmp_path) as site, site.ready(LAB) as (vcenter, plan):
        vm = build(vcenter, plan, plan.actions[0])
        vcenter.shut_down(vm, soon())
        site.break_(on="Destroy_Task", nth=1, lose="response")
        vcenter.destroy(vm, soon())
        assert site.calls("Destroy_Task") == 1
        assert not vcenter.vms_of_lab(LAB)


def test_fault_06_a_lost_refusal_is_no_success(tmp_path: Path) -> None:
    """The response that is lost may be a fault: then the VM shows that nothing has happened."""
    with open_site(tmp_path) as site, site.ready(LAB) as (vcenter, plan):
        site.simulator.datastore("vsan").accessible = False
        site.break_(on="CloneVM_Task", nth=1, lose="response")
        with pytest.raises(OutcomeUnknown):
            vcenter.clone(plan, plan.actions[0], Deadline.after(1))
        assert site.calls("CloneVM_Task") == 1


def test_fault_04_an_outage_in_mid_task_is_sat_out(tmp_path: Path) -> None:
    with open_site(tmp_path, SLOW) as site, site.ready(LAB) as (vcenter, plan):
        site.break_(on="WaitForUpdatesEx", nth=2, outage="700 ms")
        vm = build(vcenter, plan, plan.actions[0])
        assert_complete(vcenter, plan, vm)


def test_fault_04_past_the_deadline_the_outcome_is_unknown(tmp_path: Path) -> None:
    with open_site(tmp_path) as site, site.ready(LAB) as (vcenter, plan):
        site.break_(on="CloneVM_Task", nth=1, outage="3 s")
        with pytest.raises(OutcomeUnknown, match="no outcome before the deadline"):
            vcenter.clone(plan, plan.actions[0], Deadline.after(0.5))


def test_fault_04_a_call_that_was_never_sent_has_failed_and_says_so(tmp_path: Path) -> None:
    with open_site(tmp_path) as site, site.ready(LAB) as (vcenter, plan):
        vm = vcenter.clone(plan, plan.actions[0], soon())
        site.break_(on="FindAllByUuid", nth=1, outage="3 s")
        with within(Deadline.after(0.3)), pytest.raises(VCenterAway):
            vcenter.find_vm("00000000-0000-0000-0000-000000000000")
        with pytest.raises(ActionFailed, match="before anything was sent"):
            vcenter.power_on(vm, Deadline.after(0.5))
        assert site.calls("PowerOnVM_Task") == 0


def test_fault_24_tasks_that_expire_at_once_are_replaced_by_a_look_at_the_vm(
    tmp_path: Path,
) -> None:
    with open_site(tmp_path, FORGETFUL) as site, site.ready(LAB) as (vcenter, plan):
        vm = build(vcenter, plan, plan.actions[0])
        assert_complete(vcenter, plan, vm)
        vcenter.shut_down(vm, soon())
        vcenter.destroy(vm, soon())
        assert not vcenter.vms_of_lab(LAB)
        assert [site.calls(method) for method in CHANGES] == [1, 1, 1]


def test_fault_24_a_task_that_failed_and_expired_is_no_success(tmp_path: Path) -> None:
    with open_site(tmp_path, FORGETFUL) as site, site.ready(LAB) as (vcenter, plan):
        site.break_(on="CloneVM_Task", nth=1, fault="NoDiskSpace")
        with pytest.raises((ActionFailed, OutcomeUnknown)):
            vcenter.clone(plan, plan.actions[0], Deadline.after(1))
