"""What vCenter does to an apply, over HTTPS."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.apply.deadlines import Deadlines
from provision.apply.pipeline import Step
from provision.apply.result import Outcome
from provision.errors import PartlyDone
from provision.plan.snapshot import Power
from tests.faults.apply_site import PROFILE, Site, assert_converged, gpus, make_lab, open_site

# Nothing that a test waits for takes this long; what it lets run into its deadline does.
SHORT = Deadlines(
    clone=1.0, attach=1.0, reconfigure=1.0, power_on=1.0, guest=1.0, shut_down=0.2, destroy=1.0
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path) as site:
        yield site


def test_fault_02_a_session_ended_in_mid_apply_costs_one_login_and_no_duplicate(site: Site) -> None:
    lab = make_lab(gpu=gpus(2), cpu={"count": 2})
    site.break_(on="ReconfigVM_Task", nth=1, terminate="sessions")
    result = site.provision(lab)
    assert result.ok, result.error()
    assert site.sent("Login") == 3  # to plan, to apply, and once again
    assert site.sent("CloneVM_Task") == 4
    assert_converged(lab, site.snapshot(lab))


def test_fault_02_a_session_ended_when_privileges_are_asked_for_lacks_none(site: Site) -> None:
    """The call names the session that it asks about, which is not the one that asks again."""
    site.break_(on="HasPrivilegeOnEntities", nth=1, terminate="sessions")
    assert site.snapshot(make_lab(cpu={"count": 1})).privileges_missing == ()
    assert site.sent("HasPrivilegeOnEntities") == 3  # refused, answered for the old one, answered


def test_fault_06_a_clone_whose_answer_is_lost_is_adopted(site: Site) -> None:
    lab = make_lab(gpu=gpus(2))
    site.break_(on="CloneVM_Task", nth=1, lose="response")
    result = site.provision(lab)
    assert result.ok, result.error()
    assert site.sent("CloneVM_Task") == 2
    assert_converged(lab, site.snapshot(lab))


@pytest.mark.parametrize("method", ["ReconfigVM_Task", "PowerOnVM_Task"])
def test_fault_06_a_lost_answer_to_a_later_step_sends_nothing_twice(
    site: Site, method: str
) -> None:
    lab = make_lab(gpu=gpus(2))
    site.break_(on=method, nth=1, lose="response")
    result = site.provision(lab)
    assert result.ok, result.error()
    assert site.sent(method) == 2
    assert_converged(lab, site.snapshot(lab))


def test_fault_07_one_of_ten_clones_fails_and_a_rerun_makes_exactly_that_one(site: Site) -> None:
    lab = make_lab(cpu={"count": 10})
    site.break_(on="CloneVM_Task", nth=7, fault="NoDiskSpace")
    result = site.provision(lab)
    assert result.count(Outcome.DONE) == 9
    assert isinstance(result.error(), PartlyDone)
    missing = [action.machine for action in site.plan(lab).pending]
    assert missing == [m.machine for m in result.machines if m.outcome is Outcome.FAILED]
    before = site.sent("CloneVM_Task")
    assert site.provision(lab).ok
    assert site.sent("CloneVM_Task") == before + 1
    assert_converged(lab, site.snapshot(lab))


def test_fault_08_a_clone_that_gets_no_gpu_is_removed_and_both_errors_are_shown(site: Site) -> None:
    lab = make_lab(gpu=gpus(1))
    site.break_(on="ReconfigVM_Task", fault="InvalidDeviceSpec")
    site.break_(on="Destroy_Task", nth=1, fault="ResourceInUse")
    machine = site.provision(lab).machines[0]
    assert (machine.outcome, machine.step) == (Outcome.FAILED, Step.ATTACH)
    assert machine.error.fault == "InvalidDeviceSpec"
    assert machine.clean_up_error.fault == "ResourceInUse"
    (left,) = (vm for vm in site.snapshot(lab).vms if vm.lab == "vroom")
    assert (left.id, left.machine) == (machine.vm_id, "vroom-gpu-1")


def test_fault_08_a_clone_that_gets_no_gpu_is_kept_only_if_asked_for(site: Site) -> None:
    lab = make_lab(gpu=gpus(1))
    site.break_(on="ReconfigVM_Task", fault="InvalidDeviceSpec")
    assert site.provision(lab).machines[0].vm_id is None
    assert not any(vm.lab == "vroom" for vm in site.snapshot(lab).vms)
    kept = site.provision(lab, keep_failed=True).machines[0]
    assert kept.vm_id in {vm.id for vm in site.snapshot(lab).vms}


def test_fault_09_a_refused_power_on_leaves_the_vm_off_and_owned_and_says_where(site: Site) -> None:
    lab = make_lab(gpu=gpus(1))
    site.break_(on="PowerOnVM_Task", nth=1, fault="InsufficientGraphicsResourcesFault")
    machine = site.provision(lab).machines[0]
    assert (machine.outcome, machine.step) == (Outcome.FAILED, Step.POWER_ON)
    text = machine.error.text()
    assert "esx-01" in text
    assert "0000:3b:00.0" in text
    assert PROFILE in text
    assert machine.error.fault == "InsufficientGraphicsResourcesFault"
    (vm,) = (vm for vm in site.snapshot(lab).vms if vm.lab == "vroom")
    assert (vm.id, vm.power, vm.machine) == (machine.vm_id, Power.OFF, "vroom-gpu-1")
    assert site.provision(lab).ok
    assert site.sent("CloneVM_Task") == 1
    assert_converged(lab, site.snapshot(lab))


def test_fault_14_a_disk_that_fills_up_in_mid_clone_leaves_nothing(site: Site) -> None:
    lab = make_lab(cpu={"count": 1})
    site.break_(on="CloneVM_Task", nth=1, fault="NoDiskSpace")
    machine = site.provision(lab).machines[0]
    assert (machine.outcome, machine.step, machine.vm_id) == (Outcome.FAILED, Step.CLONE, None)
    assert machine.error.fault == "NoDiskSpace"
    assert not any(vm.lab == "vroom" for vm in site.snapshot(lab).vms)


def test_fault_23_a_task_that_never_ends_meets_its_deadline_and_keeps_its_vm(site: Site) -> None:
    lab = make_lab(gpu=gpus(1), cpu={"count": 1})
    site.break_(on="PowerOnVM_Task", nth=1, hang=True)
    result = site.provision(lab, deadlines=SHORT, parallel=1)
    stuck, other = result.machines
    assert (stuck.outcome, stuck.step) == (Outcome.UNKNOWN, Step.POWER_ON)
    assert "no known outcome after 1 s" in stuck.error.text()
    assert stuck.vm_id in stuck.error.text()
    assert stuck.vm_id in {vm.id for vm in site.snapshot(lab).vms}
    assert other.outcome is Outcome.DONE
    assert result.partial
