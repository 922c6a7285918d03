"""Power, guests and questions of VMs."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import vim, vmodl

from provision.simulator.engine.clock import ManualClock
from provision.simulator.guests.backend import GuestReport, NoGuests, Start
from provision.simulator.inventory.guest import SHUTDOWN_SECONDS
from tests.conftest import MakeSimulator
from tests.unit.simulator.administrator import (
    Administrator,
    add,
    by_address,
    by_model,
    mmio,
    option,
    remove,
)

WORLD = """
DC0:
  templates:
    u24: {}
  clusters:
    gpu:
      hosts:
        esx-01: {memory: 64 GiB, cards: {model: A100-80, mode: passthrough}}
        esx-02: {memory: 64 GiB, cards: {count: 2, model: A100-80, mode: passthrough}}
      vms:
        quiet: {host: esx-01, tools: false, power: on}
        stubborn: {host: esx-01, stubborn: true, power: on}
        local: {host: esx-01, addresses: [169.254.3.4, "fe80::1"], power: on}
        mute: {host: esx-01, addresses: [], power: on}
        curious: {host: esx-01, question: "Was it moved or copied?"}
"""
A100 = 0x20B5


class SlowGuests(NoGuests):
    """Guests that come up when the test says so; it notes who was started and stopped."""

    def __init__(self) -> None:
        self.started: dict[str, Start] = {}
        self.stopped: list[str] = []

    def start(self, vm: Start) -> None:
        self.started[vm.moid] = vm

    def stop(self, moid: str) -> None:
        self.stopped.append(moid)


class OrderlyGuests(SlowGuests):
    """Guests with an operating system, which can be asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def shut_down(self, moid: str) -> bool:
        self.asked.append(f"shut down {moid}")
        return True

    def restart(self, moid: str) -> bool:
        self.asked.append(f"restart {moid}")
        return True


def gpu_vm(admin: Administrator, name: str = "mine", host: str = "esx-01") -> Any:
    return admin.clone(
        name,
        host,
        memoryReservationLockedToMax=True,
        extraConfig=mmio(256),
        deviceChange=[add(by_model(A100))],
    )


def moid(vm: Any) -> str:
    return str(vm).strip("'").partition(":")[2]


def gpu(vm: Any) -> Any:
    kind = vim.vm.device.VirtualPCIPassthrough
    (device,) = (d for d in vm.config.hardware.device if isinstance(d, kind))
    return device


def test_a_card_is_assigned_at_power_on_and_free_again_at_power_off(admin: Administrator) -> None:
    vm, host = gpu_vm(admin), admin.host("esx-01")
    assert gpu(vm).backing.assignedId is None
    admin.power_on(vm)
    assert gpu(vm).backing.assignedId == "0000:3b:00.0"
    (binding,) = host.config.assignableHardwareBinding
    assert binding.vm == vm
    assert "0000:3b:00.0" in binding.instanceId
    admin.wait(vm.PowerOffVM_Task())
    assert gpu(vm).backing.assignedId is None
    assert not host.config.assignableHardwareBinding


def test_power_states_are_checked(admin: Administrator) -> None:
    vm = admin.clone("mine")
    for task in (vm.PowerOffVM_Task, vm.ResetVM_Task, vm.SuspendVM_Task):
        with pytest.raises(vim.fault.InvalidPowerState):
            admin.wait(task())
    admin.power_on(vm)
    with pytest.raises(vim.fault.InvalidPowerState):
        admin.power_on(vm)
    with pytest.raises(vim.fault.InvalidPowerState):
        admin.wait(vm.Destroy_Task())
    with pytest.raises(vim.fault.InvalidPowerState):
        vm.UnregisterVM()
    admin.wait(vm.SuspendVM_Task())
    assert vm.runtime.powerState == "suspended"
    admin.power_on(vm)


def test_directpath_rules_out_suspend_snapshot_and_vmotion(admin: Administrator) -> None:
    vm = gpu_vm(admin)
    with pytest.raises(vim.fault.SnapshotIncompatibleDeviceInVm):
        admin.wait(vm.CreateSnapshot_Task("now", None, memory=False, quiesce=False))
    admin.power_on(vm)
    with pytest.raises(vmodl.fault.NotSupported):
        admin.wait(vm.SuspendVM_Task())
    with pytest.raises(vmodl.fault.NotSupported):
        admin.wait(vm.RelocateVM_Task(vim.vm.RelocateSpec(host=admin.host("esx-02"))))
    admin.wait(vm.PowerOffVM_Task())
    admin.wait(vm.RelocateVM_Task(vim.vm.RelocateSpec(host=admin.host("esx-02"))))
    assert vm.runtime.host == admin.host("esx-02")


def test_a_card_by_address_keeps_its_vm_on_the_host_of_the_card(admin: Administrator) -> None:
    """A passthrough device's backing names its system; RelocateVM_Task, CannotAccessVmDevice."""
    home, other = admin.host("esx-01"), admin.host("esx-02")
    vm = admin.clone("mine", "esx-01", deviceChange=[add(by_address(home, "0000:3b:00.0"))])
    with pytest.raises(vim.fault.CannotAccessVmDevice) as refused:
        admin.wait(vm.RelocateVM_Task(vim.vm.RelocateSpec(host=other)))
    assert refused.value.backing == "0000:3b:00.0"
    assert vm.runtime.host == home
    admin.reconfigure(vm, deviceChange=[remove(gpu(vm))])
    admin.wait(vm.RelocateVM_Task(vim.vm.RelocateSpec(host=other)))
    assert vm.runtime.host == other


def test_a_second_task_on_the_same_vm_has_to_wait(in_process: MakeSimulator) -> None:
    clock = ManualClock()
    admin = Administrator(in_process(f"latency: {{PowerOnVM_Task: 5 s}}\n{WORLD}", clock=clock))
    vm = admin.clone("mine")
    first = vm.PowerOnVM_Task()
    second = vm.ReconfigVM_Task(vim.vm.ConfigSpec(annotation="now"))
    assert isinstance(second.info.error, vim.fault.TaskInProgress)
    assert second.info.error.task == first
    clock.advance(5)
    assert first.info.state == "success"
    admin.reconfigure(vm, annotation="later")


def test_tools_report_the_guest_when_it_is_up(in_process: MakeSimulator) -> None:
    guests = SlowGuests()
    admin = Administrator(in_process(WORLD, guests=guests))
    vm = admin.clone("mine", extraConfig=[option("guestinfo.metadata", "e30="), option("a", "b")])
    admin.power_on(vm)
    assert vm.guest.toolsRunningStatus == "guestToolsNotRunning"
    with pytest.raises(vim.fault.ToolsUnavailable):
        vm.ShutdownGuest()
    ready = guests.started[moid(vm)].on_ready
    assert guests.started[moid(vm)].guestinfo == {"guestinfo.metadata": "e30="}
    ready(GuestReport("mine.lab", ("10.0.0.7", "fe80::7"), {"guestinfo.vdl.hostkeys": "key"}))
    assert vm.guest.toolsRunningStatus == "guestToolsRunning"
    assert (vm.guest.hostName, vm.guest.ipAddress) == ("mine.lab", "10.0.0.7")
    assert list(vm.guest.net[0].ipAddress) == ["10.0.0.7", "fe80::7"]
    settings = {entry.key: entry.value for entry in vm.config.extraConfig}
    assert settings["guestinfo.vdl.hostkeys"] == "key"
    assert admin.content.searchIndex.FindByIp(None, "10.0.0.7", True) == vm  # noqa: FBT003 - pyVmomi takes it by position
    admin.wait(vm.PowerOffVM_Task())
    assert moid(vm) in guests.stopped
    assert vm.guest.ipAddress is None
    assert "guestinfo.vdl.hostkeys" not in {entry.key for entry in vm.config.extraConfig}
    # A report of a boot that is over is none of the present.
    ready(GuestReport("mine.lab", ("10.0.0.7",)))
    assert vm.guest.ipAddress is None


def test_guests_can_be_told_what_to_report(admin: Administrator) -> None:
    assert list(admin.vm("local").guest.net[0].ipAddress) == ["169.254.3.4", "fe80::1"]
    assert admin.vm("mute").guest.toolsRunningStatus == "guestToolsRunning"
    assert not admin.vm("mute").guest.net
    assert admin.vm("quiet").guest.toolsStatus == "toolsNotInstalled"


def test_a_guest_shuts_down_in_a_moment_unless_it_is_stubborn(
    admin: Administrator, clock: ManualClock
) -> None:
    local, stubborn = admin.vm("local"), admin.vm("stubborn")
    local.ShutdownGuest()
    stubborn.ShutdownGuest()
    assert local.runtime.powerState == "poweredOn"
    clock.advance(SHUTDOWN_SECONDS)
    assert local.runtime.powerState == "poweredOff"
    assert stubborn.runtime.powerState == "poweredOn"
    with pytest.raises(vim.fault.ToolsUnavailable):
        admin.vm("quiet").ShutdownGuest()


def test_a_restart_keeps_the_power_on(admin: Administrator, clock: ManualClock) -> None:
    vm = admin.vm("local")
    vm.RebootGuest()
    clock.advance(SHUTDOWN_SECONDS)
    admin.wait(vm.ResetVM_Task())
    assert vm.runtime.powerState == "poweredOn"
    assert vm.guest.ipAddress == "169.254.3.4"


@pytest.mark.parametrize(("choice", "power"), [("0", "poweredOn"), ("1", "poweredOff")])
def test_a_question_holds_the_power_on_until_it_is_answered(
    admin: Administrator, clock: ManualClock, choice: str, power: str
) -> None:
    vm = admin.vm("curious")
    task = vm.PowerOnVM_Task()
    clock.advance(900)
    assert task.info.state == "running"
    question = vm.runtime.question
    assert question.text == "Was it moved or copied?"
    with pytest.raises(vmodl.fault.InvalidArgument):
        vm.AnswerVM(questionId="other", answerChoice="0")
    vm.AnswerVM(questionId=question.id, answerChoice=choice)
    assert task.info.state == ("success" if choice == "0" else "error")
    assert vm.runtime.powerState == power
    assert vm.runtime.question is None


def test_drs_finds_hosts_for_several_vms_at_once(admin: Administrator) -> None:
    vms = [gpu_vm(admin, f"mine-{n}") for n in range(4)]
    result = admin.wait(admin.at("DC0").PowerOnMultiVM_Task(vms))
    assert [entry.vm for entry in result.attempted] == vms[:3]
    assert [vm.runtime.host.name for vm in vms[:3]] == ["esx-01", "esx-02", "esx-02"]
    (refused,) = result.notAttempted
    assert refused.vm == vms[3]
    assert isinstance(refused.fault, vim.fault.NoCompatibleHost)
    assert [type(f) for f in refused.fault.error] == [vim.fault.InsufficientResourcesFault] * 2
    assert "esx-01" in refused.fault.msg
    assert "esx-02" in refused.fault.msg


def test_what_is_destroyed_is_gone_everywhere(admin: Administrator) -> None:
    vm = admin.clone("mine")
    uuid = vm.config.instanceUuid
    admin.wait(vm.Destroy_Task())
    assert admin.vm("mine") is None
    assert admin.content.searchIndex.FindAllByUuid(None, uuid, True, True) == []  # noqa: FBT003 - pyVmomi takes them by position
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        _ = vm.runtime
    assert vm not in list(admin.host("esx-01").vm)
    assert vm not in list(admin.cluster.resourcePool.vm)


def test_a_guest_with_an_operating_system_ends_it_before_the_vm_goes_off(
    in_process: MakeSimulator, clock: ManualClock
) -> None:
    guests = OrderlyGuests()
    admin = Administrator(in_process(WORLD, guests=guests, clock=clock))
    vm = admin.clone("mine")
    admin.power_on(vm)
    start = guests.started[moid(vm)]
    start.on_ready(GuestReport("mine.lab", ("10.0.0.7",)))
    vm.RebootGuest()
    clock.advance(1)
    vm.ShutdownGuest()
    clock.advance(1)
    assert guests.asked == [f"restart {moid(vm)}", f"shut down {moid(vm)}"]
    assert vm.runtime.powerState == "poweredOn"
    start.on_off()
    assert vm.runtime.powerState == "poweredOff"
    # The end of a boot that is over is not the end of the present one.
    admin.power_on(vm)
    start.on_off()
    assert vm.runtime.powerState == "poweredOn"


def test_a_guest_is_told_which_gpus_its_vm_has(in_process: MakeSimulator) -> None:
    guests = SlowGuests()
    world = """
DC0:
  clusters:
    gpu:
      hosts: {esx-01: {cards: {model: A100-80}}, esx-02: {cards: {model: L4, mode: passthrough}}}
      vms:
        shared: {host: esx-01, gpu: {vgpu: grid_a100d-10c}, power: on}
        direct: {host: esx-02, gpu: {passthrough: L4}, power: on}
        plain: {host: esx-01, power: on}
"""
    in_process(world, guests=guests)
    gpus = {start.name: start.gpus for start in guests.started.values()}
    (shared,) = gpus["shared"]
    (direct,) = gpus["direct"]
    assert (shared.name, shared.framebuffer) == ("NVIDIA A100D-10C", 10240)
    assert (direct.vendor_id, direct.device_id, direct.profile) == (0x10DE, 0x27B8, None)
    assert gpus["plain"] == ()
