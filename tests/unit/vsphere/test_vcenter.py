from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.deadline import Deadline
from provision.errors import VdlError
from provision.plan.identity import instance_uuid
from provision.plan.planner import plan as make_plan
from provision.plan.snapshot import Power, Vm
from provision.spec.model import Lab
from provision.vsphere.port import ActionFailed, OutcomeUnknown, Port
from provision.vsphere.vcenter import VCenter
from tests.unit.vsphere.site import WORLD, Site, build, make_lab, open_site, soon

GROUP = "Nvidia:2@grid_a100d-80c%NVLink"
MODES = {
    "cpu": {"count": 1, "disk": "60 GiB"},
    "shared": {"count": 2, "gpu": {"vgpu": "grid_a100d-10c"}},
    "direct": {"count": 1, "gpu": {"passthrough": "A100-80"}},
    "pinned": {"count": 1, "gpu": {"passthrough": "esx-03/0000:3b:00.0"}},
    "pair": {"count": 1, "gpu": {"group": GROUP}},
}


def only(vcenter: VCenter, lab: Lab, name: str) -> Vm:
    (vm,) = [vm for vm in vcenter.vms_of_lab(lab) if vm.machine == name]
    return vm


def as_port(vcenter: VCenter) -> Port:
    return vcenter


def test_every_mode_is_built_and_a_second_plan_changes_nothing(site: Site) -> None:
    lab = make_lab(**MODES)
    with site.ready(lab) as (vcenter, plan):
        for action in plan.actions:
            build(as_port(vcenter), plan, action)
        assert not make_plan(lab, vcenter.snapshot(lab)).pending
        for action in plan.actions:
            vm = only(vcenter, lab, action.machine)
            vcenter.attach(vm.id, action, soon())
            vcenter.reconfigure(vm.id, action, soon())
        assert site.calls("ReconfigVM_Task") == len(plan.actions)


def test_the_folder_is_made_once(site: Site) -> None:
    lab = make_lab(cpu={"count": 3})
    with site.ready(lab) as (vcenter, plan):
        for action in plan.actions:
            vcenter.clone(plan, action, soon())
        assert {vm.path for vm in vcenter.vms_of_lab(lab)} == {
            f"/DC0/vm/vdl/vroom-cpu-{n}" for n in (1, 2, 3)
        }
    assert site.calls("CreateFolder") == 1


def test_a_folder_that_another_run_has_made_meanwhile_will_do(site: Site) -> None:
    lab = make_lab()
    with site.ready(lab) as (first, plan), VCenter(site.settings) as second:
        second.snapshot(lab)
        second.clone(plan, plan.actions[0], soon())
        with pytest.raises(ActionFailed) as raised:
            first.clone(plan, plan.actions[0], soon())
    assert raised.value.fault == "DuplicateName"


def test_nothing_is_built_before_the_lab_was_read(site: Site) -> None:
    lab = make_lab()
    with (
        site.ready(lab) as (_, plan),
        VCenter(site.settings) as blind,
        pytest.raises(VdlError, match="has not been read"),
    ):
        blind.clone(plan, plan.actions[0], soon())


def test_a_vm_is_found_by_its_uuid_whatever_its_name(site: Site) -> None:
    lab = make_lab()
    with site.ready(lab) as (vcenter, plan):
        uuid = instance_uuid(vcenter.identity.instance_uuid, "vroom", "vroom-cpu-1")
        assert vcenter.find_vm(uuid) is None
        vm_id = vcenter.clone(plan, plan.actions[0], soon())
        site.simulator.vm("vroom-cpu-1").rename("renamed by hand")
        vm = vcenter.find_vm(uuid)
    assert vm is not None
    assert (vm.id, vm.path) == (vm_id, "/DC0/vm/vdl/renamed by hand")
    assert (vm.lab, vm.machine) == ("vroom", "vroom-cpu-1")


def test_old_hardware_is_upgraded_only_where_the_mode_needs_it(tmp_path: Path) -> None:
    world = WORLD.replace("hardware: 20", "hardware: 14")
    lab = make_lab(**{name: MODES[name] for name in ("shared", "direct")})
    with open_site(tmp_path, world) as site, VCenter(site.settings) as vcenter:
        plan = make_plan(lab, vcenter.snapshot(lab))
        for action in plan.actions:
            vm = vcenter.clone(plan, action, soon())
            vcenter.prepare_hardware(vm, action, soon())
            vcenter.prepare_hardware(vm, action, soon())
        assert site.calls("UpgradeVM_Task") == 1


def test_a_refused_power_on_names_host_gpu_and_reason(site: Site) -> None:
    lab = make_lab(shared={"count": 1, "gpu": {"vgpu": "grid_a100d-10c"}})
    with site.ready(lab) as (vcenter, plan):
        action = plan.actions[0]
        vm = vcenter.clone(plan, action, soon())
        vcenter.attach(vm, action, soon())
        site.break_(on="PowerOnVM_Task", nth=1, fault="InsufficientGraphicsResourcesFault")
        with pytest.raises(ActionFailed) as raised:
            vcenter.power_on(vm, soon())
    text = raised.value.text()
    for word in ("vroom-shared-1", action.host or "", "vgpu grid_a100d-10c", "Insufficient"):
        assert word in text


def test_a_guest_without_keys_on_an_address_that_leads_nowhere_is_not_waited_for(
    site: Site,
) -> None:
    with site.ready(make_lab()) as (vcenter, plan):
        vm = build(vcenter, plan, plan.actions[0])
        told = vcenter.wait_for_guest(vm, soon())
    assert told.addresses[0].startswith("198.18.")
    assert told.host_keys == ()


SILENT = WORLD.replace("disk: 40 GiB", "disk: 40 GiB, addresses: [169.254.1.1]")


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path, SILENT) as site:
        yield site


def test_fault_29_a_guest_without_a_usable_address_is_named_and_kept(silent: Site) -> None:
    lab = make_lab()
    with silent.ready(lab) as (vcenter, plan):
        vm = build(vcenter, plan, plan.actions[0])
        with pytest.raises(ActionFailed, match="not reachable") as raised:
            vcenter.wait_for_guest(vm, Deadline.after(0.3))
        assert "169.254.1.1" in raised.value.text()
        assert only(vcenter, lab, "vroom-cpu-1").power is Power.ON


def test_a_guest_that_is_off_is_not_waited_for(site: Site) -> None:
    with site.ready(make_lab()) as (vcenter, plan):
        vm = vcenter.clone(plan, plan.actions[0], soon())
        with pytest.raises(ActionFailed, match="powered off"):
            vcenter.wait_for_guest(vm, soon())


def test_fault_21_a_guest_shuts_down_or_is_powered_off_at_the_deadline(tmp_path: Path) -> None:
    stubborn = WORLD.replace("disk: 40 GiB", "disk: 40 GiB, stubborn: true")
    lab = make_lab()
    with open_site(tmp_path, stubborn) as site, site.ready(lab) as (vcenter, plan):
        vm = build(vcenter, plan, plan.actions[0])
        vcenter.shut_down(vm, Deadline.after(0.5))
        assert only(vcenter, lab, "vroom-cpu-1").power is Power.OFF
        assert (site.calls("ShutdownGuest"), site.calls("PowerOffVM_Task")) == (1, 1)


def test_a_willing_guest_is_not_powered_off(site: Site) -> None:
    lab = make_lab()
    with site.ready(lab) as (vcenter, plan):
        vm = build(vcenter, plan, plan.actions[0])
        vcenter.shut_down(vm, soon())
        vcenter.shut_down(vm, soon())
        assert only(vcenter, lab, "vroom-cpu-1").power is Power.OFF
    assert site.calls("PowerOffVM_Task") == 0


def test_fault_20_what_is_gone_already_is_gone(site: Site) -> None:
    with site.ready(make_lab()) as (vcenter, plan):
        vm = vcenter.clone(plan, plan.actions[0], soon())
        for _ in range(2):
            vcenter.destroy(vm, soon())
        vcenter.shut_down(vm, soon())


def test_fault_23_a_task_that_never_ends_is_named(site: Site) -> None:
    with site.ready(make_lab()) as (vcenter, plan):
        site.break_(on="CloneVM_Task", nth=1, hang=True)
        with pytest.raises(OutcomeUnknown, match=r"task task-\d+ still runs"):
            vcenter.clone(plan, plan.actions[0], Deadline.after(0.3))


def test_fault_23_a_question_is_shown(tmp_path: Path) -> None:
    asking = WORLD.replace("disk: 40 GiB", "disk: 40 GiB, question: 'moved or copied?'")
    with open_site(tmp_path, asking) as site, site.ready(make_lab()) as (vcenter, plan):
        vm = vcenter.clone(plan, plan.actions[0], soon())
        with pytest.raises(OutcomeUnknown, match=r"moved or copied\?"):
            vcenter.power_on(vm, Deadline.after(0.5))
