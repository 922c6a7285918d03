"""What is left and what is said when a step fails."""

import threading

from provision.apply.deadlines import Deadlines
from provision.apply.events import Event
from provision.apply.pipeline import Step
from provision.apply.result import Outcome
from provision.errors import Interrupted, NoConnection, PartlyDone
from provision.plan.model import ActionKind
from provision.plan.snapshot import Power
from provision.spec.model import VgpuRequest
from provision.vsphere.port import ActionFailed, OutcomeUnknown
from tests.unit.apply.site import Hold, Site

VGPU = VgpuRequest(vgpu="grid_a100d-10c")


def test_what_a_failed_create_left_is_removed_and_the_error_names_the_place(
    site: Site, refused: ActionFailed
) -> None:
    site.vcenter.refuse["attach", "vroom-gpu-1"] = refused
    machine = site.one(site.run(site.create("gpu-1", vgpu=True)), "gpu-1")
    assert site.vcenter.vms == {}
    assert (machine.outcome, machine.step, machine.vm_id) == (Outcome.FAILED, Step.ATTACH, None)
    assert machine.error.text() == (
        "vroom-gpu-1 (vm-vroom-gpu-1): attach on esx-01, card 0000:3b:00.0 (grid_a100d-10c)"
        " failed\n  why: the task failed; no such device\n  fix: look at the host"
    )


def test_keep_failed_leaves_it(site: Site, refused: ActionFailed) -> None:
    site.vcenter.refuse["attach", "vroom-gpu-1"] = refused
    result = site.run(site.create("gpu-1", vgpu=True), keep_failed=True)
    assert site.one(result, "gpu-1").vm_id == "vm-vroom-gpu-1"
    assert list(site.vcenter.vms) == ["vm-vroom-gpu-1"]


def test_a_clean_up_that_fails_is_shown_beside_the_first_error(
    site: Site, refused: ActionFailed
) -> None:
    site.vcenter.refuse["attach", "vroom-gpu-1"] = refused
    site.vcenter.refuse["destroy", "vroom-gpu-1"] = ActionFailed("locked", why="a backup runs")
    machine = site.one(site.run(site.create("gpu-1", vgpu=True)), "gpu-1")
    assert "no such device" in machine.error.text()
    assert "a backup runs" in machine.clean_up_error.text()
    assert (machine.step, machine.vm_id) == (Step.ATTACH, "vm-vroom-gpu-1")


def test_a_vm_refused_at_power_on_stays_off_and_owned(site: Site) -> None:
    site.vcenter.room["host-esx-01"] = 0
    machine = site.one(site.run(site.create("gpu-1", vgpu=True)), "gpu-1")
    assert machine.outcome is Outcome.FAILED
    assert "insufficient graphics resources" in machine.error.text()
    vm = site.vcenter.vms["vm-vroom-gpu-1"]
    assert (vm.power, vm.lab) == (Power.OFF, "vroom")


def test_a_guest_without_an_address_is_kept_for_a_look(site: Site) -> None:
    site.vcenter.silent.add("vroom-cpu-1")
    machine = site.one(site.run(site.create("cpu-1")), "cpu-1")
    assert (machine.outcome, machine.step) == (Outcome.FAILED, Step.GUEST)
    assert "fe80::1" in machine.error.text()
    assert site.vcenter.vms["vm-vroom-cpu-1"].power is Power.ON


def test_an_existing_vm_is_never_removed_for_a_failed_step(
    site: Site, refused: ActionFailed
) -> None:
    half = site.add_vm("gpu-1", gpu=VGPU, gpus=(), power=Power.OFF)
    site.vcenter.refuse["attach", "vroom-gpu-1"] = refused
    result = site.run(site.action(ActionKind.UPDATE, "gpu-1", gpu=VGPU, vm=half))
    assert site.one(result, "gpu-1").outcome is Outcome.FAILED
    assert list(site.vcenter.vms) == ["vm-vroom-gpu-1"]


def test_one_failure_stops_no_other_machine(site: Site, refused: ActionFailed) -> None:
    site.vcenter.refuse["clone", "vroom-cpu-1"] = refused
    result = site.run(site.create("cpu-1"), site.create("cpu-2"), parallel=1)
    assert [m.outcome for m in result.machines] == [Outcome.FAILED, Outcome.DONE]
    assert isinstance(result.error(), PartlyDone)
    assert "vroom-cpu-1 (clone)" in result.error().text()


def test_a_partial_vm_of_a_failed_clone_is_removed(site: Site) -> None:
    full = ActionFailed("clone refused", why="no space", fault="NoDiskSpace")
    site.vcenter.after["clone", "vroom-cpu-1"] = full
    machine = site.one(site.run(site.create("cpu-1")), "cpu-1")
    assert site.vcenter.vms == {}
    assert machine.error.fault == "NoDiskSpace"


def test_an_unknown_outcome_is_no_success_and_keeps_the_vm(
    site: Site, unknown: OutcomeUnknown
) -> None:
    site.vcenter.refuse["attach", "vroom-gpu-1"] = unknown
    result = site.run(site.create("gpu-1", vgpu=True))
    machine = site.one(result, "gpu-1")
    assert (machine.outcome, machine.vm_id) == (Outcome.UNKNOWN, "vm-vroom-gpu-1")
    assert result.failed
    assert site.vcenter.count("destroy") == 0


def test_the_id_of_a_vm_is_told_even_if_its_clone_never_answered(
    site: Site, unknown: OutcomeUnknown
) -> None:
    site.vcenter.after["clone", "vroom-cpu-1"] = unknown
    machine = site.one(site.run(site.create("cpu-1")), "cpu-1")
    assert (machine.outcome, machine.vm_id) == (Outcome.UNKNOWN, "vm-vroom-cpu-1")


def test_a_question_that_a_vm_waits_on_is_shown(site: Site, unknown: OutcomeUnknown) -> None:
    vm = site.add_vm("cpu-1", power=Power.OFF, question="moved or copied?")
    site.vcenter.refuse["power_on", "vroom-cpu-1"] = unknown
    result = site.run(site.action(ActionKind.UPDATE, "cpu-1", vm=vm))
    assert "moved or copied?" in site.one(result, "cpu-1").error.text()


def test_a_step_whose_answer_is_lost_after_its_work_is_a_success(
    site: Site, unknown: OutcomeUnknown
) -> None:
    site.vcenter.after["power_on", "vroom-cpu-1"] = unknown
    result = site.run(site.create("cpu-1"))
    assert site.one(result, "cpu-1").outcome is Outcome.DONE
    assert site.one(result, "cpu-1").note == "was already done"
    assert site.vcenter.count("power_on") == 1


def test_the_first_error_stands_if_the_second_look_fails(site: Site, refused: ActionFailed) -> None:
    vm = site.add_vm("cpu-1", power=Power.OFF)
    site.vcenter.refuse["power_on", "vroom-cpu-1"] = refused
    site.vcenter.refuse["find_vm", vm.instance_uuid] = OutcomeUnknown("away")
    result = site.run(site.action(ActionKind.UPDATE, "cpu-1", vm=vm))
    assert "no such device" in site.one(result, "cpu-1").error.text()


def test_a_refused_login_ends_the_run_for_all(site: Site) -> None:
    site.vcenter.refuse["clone", "vroom-cpu-1"] = NoConnection("login refused")
    result = site.run(site.create("cpu-1"), site.create("cpu-2"), parallel=1)
    assert [m.outcome for m in result.machines] == [Outcome.UNKNOWN, Outcome.NOT_STARTED]
    assert isinstance(result.error(), NoConnection)
    assert not isinstance(result.error(), Interrupted)


def test_a_machine_that_another_run_has_begun_is_watched_not_touched(
    site: Site, barrier: Hold
) -> None:
    """The other run's VM appears between our look and our clone; it is finished later."""
    clone = barrier("clone", "cpu-1")

    def be_faster() -> None:
        assert clone.reached.wait(5)
        site.add_vm("cpu-1", power=Power.OFF)
        clone.go.set()

    def finish_it(event: Event) -> None:
        if event.step is Step.FOLLOW and event.phase == "started":
            site.add_vm("cpu-1")

    site.react = finish_it
    other = threading.Thread(target=be_faster)
    other.start()
    machine = site.one(site.run(site.create("cpu-1")), "cpu-1")
    other.join()
    assert machine.outcome is Outcome.DONE
    assert machine.note == "another run is making it; by another run"
    assert [name for name, _ in site.vcenter.calls] == ["clone", "wait_for_guest"]
    assert len(site.vcenter.vms) == 1


def test_another_run_that_never_finishes_is_reported(site: Site, short: Deadlines) -> None:
    site.react = lambda event: (
        site.add_vm("cpu-1", power=Power.OFF) if event.step is Step.CLONE else None
    )
    machine = site.one(site.run(site.create("cpu-1"), deadlines=short), "cpu-1")
    assert (machine.outcome, machine.step) == (Outcome.FAILED, Step.FOLLOW)
    assert "did not finish" in machine.error.text()


def test_another_run_that_removes_its_vm_is_reported(site: Site) -> None:
    def the_other_run(event: Event) -> None:
        if event.step is Step.CLONE and event.phase == "started":
            site.add_vm("cpu-1", power=Power.OFF)
        elif event.step is Step.FOLLOW and event.phase == "started":
            site.vcenter.vms.clear()

    site.react = the_other_run
    machine = site.one(site.run(site.create("cpu-1")), "cpu-1")
    assert machine.outcome is Outcome.FAILED
    assert "removed it again" in machine.error.text()


def test_a_stranger_with_our_instance_uuid_is_left_alone(site: Site) -> None:
    site.add_vm("cpu-1", stamps={}, name="theirs", path="DC0/vm/theirs")
    machine = site.one(site.run(site.create("cpu-1")), "cpu-1")
    assert machine.outcome is Outcome.FAILED
    assert "DC0/vm/theirs" in machine.error.text()
    assert machine.vm_id is None
    assert site.vcenter.calls == []


def test_a_clone_that_another_run_has_only_begun_is_watched_too(site: Site) -> None:
    """Such a VM shows its name, but neither instance UUID nor stamps."""
    site.add_vm("cpu-1", instance_uuid="", stamps={}, power=Power.OFF)

    def finish_it(event: Event) -> None:
        if event.step is Step.FOLLOW and event.phase == "started":
            site.add_vm("cpu-1")

    site.react = finish_it
    machine = site.one(site.run(site.create("cpu-1")), "cpu-1")
    assert (machine.outcome, machine.vm_id) == (Outcome.DONE, "vm-vroom-cpu-1")


def test_a_stranger_that_has_taken_the_name_is_a_failure(site: Site) -> None:
    site.add_vm("cpu-1", instance_uuid="theirs", stamps={})
    machine = site.one(site.run(site.create("cpu-1")), "cpu-1")
    assert (machine.outcome, machine.step, machine.vm_id) == (Outcome.FAILED, Step.CLONE, None)
    assert machine.error.fault == "DuplicateName"
    assert [vm.instance_uuid for vm in site.vcenter.vms.values()] == ["theirs"]
