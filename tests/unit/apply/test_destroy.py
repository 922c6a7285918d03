from provision.apply.destroy import copies, destroy, destroy_plan
from provision.apply.result import Outcome
from provision.plan.snapshot import STAMP_LAB, Power
from tests.unit.apply.site import Site


def test_only_the_labs_own_vms_go_whatever_they_are_called(site: Site) -> None:
    renamed = site.add_vm("cpu-1", name="renamed", path="DC0/vm/elsewhere/renamed")
    plain = site.add_vm("cpu-2")
    site.add_vm("cpu-3", stamps={})
    site.add_vm("cpu-4", stamps={STAMP_LAB: "other"})
    copied = site.add_vm("cpu-5", instance_uuid="somebody-elses")
    snapshot = site.vcenter.snapshot(site.lab())
    assert destroy_plan("vroom", snapshot) == (renamed, plain)
    assert copies("vroom", snapshot) == (copied,)


def test_running_vms_are_shut_down_first(site: Site) -> None:
    vms = (site.add_vm("cpu-1"), site.add_vm("cpu-2", power=Power.OFF))
    result = destroy("vroom", vms, site.vcenter)
    assert result.ok
    assert site.vcenter.vms == {}
    assert [call for call in site.vcenter.calls if call[0] == "shut_down"] == [
        ("shut_down", "vroom-cpu-1")
    ]


def test_what_is_gone_already_is_a_success(site: Site) -> None:
    vms = (site.add_vm("cpu-1"), site.add_vm("cpu-2", power=Power.OFF))
    site.vcenter.vms.clear()
    result = destroy("vroom", vms, site.vcenter)
    assert result.ok
    assert {m.note for m in result.machines} == {"is already gone"}
    assert site.vcenter.calls == []


def test_a_vm_that_goes_while_it_shuts_down_is_a_success(site: Site) -> None:
    vm = site.add_vm("cpu-1")
    site.react = lambda event: site.vcenter.vms.clear() if event.step == "destroy" else None
    assert destroy("vroom", (vm,), site.vcenter).ok


def test_a_vm_that_was_powered_on_again_meanwhile_is_not_deleted_running(site: Site) -> None:
    vm = site.add_vm("cpu-1", power=Power.OFF)
    site.add_vm("cpu-1", power=Power.ON)
    result = destroy("vroom", (vm,), site.vcenter)
    assert result.machines[0].outcome is Outcome.DONE
    assert [name for name, _ in site.vcenter.calls] == ["shut_down", "destroy"]


def test_a_vm_that_lost_its_stamps_is_left_alone_and_reported(site: Site) -> None:
    vm = site.add_vm("cpu-1")
    site.add_vm("cpu-1", stamps={})
    result = destroy("vroom", (vm,), site.vcenter)
    assert result.machines[0].outcome is Outcome.FAILED
    assert "not its stamps" in result.machines[0].error.text()
    assert site.vcenter.calls == []
