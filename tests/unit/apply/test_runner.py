import threading

import pytest

from provision.apply.events import Event, Phase
from provision.apply.pipeline import Step
from provision.apply.result import Outcome
from provision.plan.model import ActionKind, Change
from provision.plan.snapshot import Power
from provision.spec.model import VgpuRequest
from provision.vsphere.port import ActionFailed
from tests.unit.apply.site import Hold, Site

VGPU = VgpuRequest(vgpu="grid_a100d-10c")


def test_a_create_takes_every_step_in_order(site: Site) -> None:
    result = site.run(site.create("gpu-1", vgpu=True))
    assert [name for name, _ in site.vcenter.calls] == [
        "clone",
        "prepare_hardware",
        "attach",
        "power_on",
        "wait_for_guest",
    ]
    machine = site.one(result, "gpu-1")
    assert (machine.outcome, machine.vm_id) == (Outcome.DONE, "vm-vroom-gpu-1")
    assert (machine.address, machine.ssh_port) == ("198.18.0.1", 2222)
    assert machine.host_keys == ("ssh-ed25519 AAAA",)
    assert result.ok
    assert result.error() is None


def test_events_tell_each_step_once_and_in_order(site: Site) -> None:
    site.run(site.create("cpu-1"))
    told = [(event.step, event.phase) for event in site.events]
    steps = (Step.CLONE, Step.PREPARE_HARDWARE, Step.ATTACH, Step.POWER_ON, Step.GUEST)
    assert told == [(step, phase) for step in steps for phase in (Phase.STARTED, Phase.DONE)]


def test_nothing_to_do_calls_nothing(site: Site) -> None:
    vm = site.add_vm("cpu-1", addresses=("198.18.0.9",))
    result = site.run(site.action(ActionKind.NONE, "cpu-1", vm=vm))
    assert site.vcenter.calls == []
    assert site.one(result, "cpu-1").outcome is Outcome.UNCHANGED
    assert site.one(result, "cpu-1").address == "198.18.0.9"
    assert result.ok


def test_no_more_steps_run_at_a_time_than_asked_for(site: Site, barrier: Hold) -> None:
    names = [f"cpu-{n}" for n in range(1, 7)]
    first, second = (barrier("clone", name) for name in names[:2])

    def release_when_both_run() -> None:
        assert first.reached.wait(5)
        assert second.reached.wait(5)
        first.go.set()
        second.go.set()

    thread = threading.Thread(target=release_when_both_run)
    thread.start()
    result = site.run(*(site.create(name) for name in names), parallel=2)
    thread.join()
    assert result.ok
    assert site.vcenter.peak == 2


def test_a_machine_is_finished_before_the_next_is_begun(site: Site) -> None:
    site.run(*(site.create(f"cpu-{n}") for n in (1, 2, 3)), parallel=1)
    machines = [machine for _, machine in site.vcenter.calls]
    assert machines == sorted(machines)


def test_a_slow_machine_holds_up_no_other(site: Site, barrier: Hold) -> None:
    slow = barrier("clone", "cpu-1")

    def release_after_the_other(event: Event) -> None:
        if (event.machine, event.step, event.phase) == ("vroom-cpu-2", Step.GUEST, Phase.DONE):
            slow.go.set()

    site.react = release_after_the_other
    assert site.run(site.create("cpu-1"), site.create("cpu-2")).ok


def test_vgpu_machines_of_a_host_power_on_in_the_order_of_the_plan(
    site: Site, barrier: Hold
) -> None:
    slow = barrier("attach", "gpu-1")

    def release_once_the_others_wait(event: Event) -> None:
        if (event.machine, event.phase) == ("vroom-gpu-4", Phase.NOTE):
            slow.go.set()

    site.react = release_once_the_others_wait
    result = site.run(*(site.create(f"gpu-{n}", vgpu=True) for n in (1, 2, 3, 4)))
    assert result.ok
    assert site.vcenter.powered == [f"vroom-gpu-{n}" for n in (1, 2, 3, 4)]


def test_a_waiting_host_does_not_hold_up_another(site: Site, barrier: Hold) -> None:
    slow = barrier("attach", "gpu-1")

    def release_after_the_other_host(event: Event) -> None:
        if (event.machine, event.step, event.phase) == ("vroom-gpu-9", Step.GUEST, Phase.DONE):
            slow.go.set()

    site.react = release_after_the_other_host
    here = [site.create(f"gpu-{n}", vgpu=True) for n in range(1, 9)]
    there = site.create("gpu-9", host="esx-02", vgpu=True)
    assert site.run(*here, there, parallel=2).ok


def test_a_machine_that_failed_lets_the_later_ones_on(site: Site, refused: ActionFailed) -> None:
    actions = [site.create(f"gpu-{n}", vgpu=True) for n in (1, 2, 3)]
    site.vcenter.refuse["attach", "vroom-gpu-1"] = refused
    result = site.run(*actions, parallel=1)
    assert site.one(result, "gpu-1").outcome is Outcome.FAILED
    assert site.vcenter.powered == ["vroom-gpu-2", "vroom-gpu-3"]
    assert result.partial


def test_cards_are_given_back_before_they_are_taken(site: Site) -> None:
    site.vcenter.room["host-esx-01"] = 1
    old = site.add_vm("old-1", gpu=VGPU)
    result = site.run(
        site.create("gpu-1", vgpu=True), site.action(ActionKind.DESTROY, "old-1", vm=old)
    )
    assert result.ok
    assert site.vcenter.powered == ["vroom-gpu-1"]


def test_a_replacement_makes_room_for_an_earlier_machine_of_the_plan(site: Site) -> None:
    site.vcenter.room["host-esx-01"] = 2
    old = [site.add_vm(f"gpu-{n}", gpu=VGPU) for n in (2, 3)]
    replaced = [
        site.action(ActionKind.REPLACE, f"gpu-{n}", gpu=VGPU, vm=vm, host=host)
        for n, vm, host in ((2, old[0], "esx-02"), (3, old[1], "esx-01"))
    ]
    assert site.run(site.create("gpu-1", vgpu=True), *replaced, parallel=1).ok
    assert site.vcenter.powered.index("vroom-gpu-1") < site.vcenter.powered.index("vroom-gpu-3")


def test_an_update_shuts_down_only_to_change_something(site: Site) -> None:
    drifted = site.add_vm("cpu-1", stamps={"vdl.lab": "vroom", "vdl.machine": "vroom-cpu-1"})
    change = (Change("cpus", "2", "4"),)
    site.run(site.action(ActionKind.UPDATE, "cpu-1", vm=drifted, changes=change))
    assert [name for name, _ in site.vcenter.calls] == [
        "shut_down",
        "prepare_hardware",
        "reconfigure",
        "power_on",
        "wait_for_guest",
    ]


def test_an_unfinished_machine_goes_on_at_the_step_that_it_lacks(site: Site) -> None:
    half = site.add_vm("gpu-1", gpu=VGPU, gpus=(), power=Power.OFF)
    result = site.run(site.action(ActionKind.UPDATE, "gpu-1", gpu=VGPU, vm=half))
    assert result.ok
    names = [name for name, _ in site.vcenter.calls]
    assert names == ["prepare_hardware", "attach", "power_on", "wait_for_guest"]


def test_a_bug_in_a_worker_reaches_the_caller(site: Site) -> None:
    site.vcenter.refuse["clone", "vroom-cpu-1"] = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError, match="a bug"):
        site.run(site.create("cpu-1"))
