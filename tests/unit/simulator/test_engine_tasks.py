"""Tasks, from the call that starts them to the day they expire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from provision.simulator.engine.call import Call
from provision.simulator.engine.clock import ManualClock
from provision.simulator.engine.objects import method
from tests.unit.simulator.small_world import Lab, MakeLab, Vm, moid, object_spec

START = datetime(2026, 1, 1, tzinfo=UTC)
MORE = vim.vm.ConfigSpec(memoryMB=2048)


class Workshop(Vm):
    """A VM whose power-on writes down which of its steps have run."""

    def __init__(self, *args: Any) -> None:
        self.steps: list[str] = []
        super().__init__(*args)

    @method("PowerOnVM_Task")
    def power_on(self, call: Call, host: Any) -> Any:
        del host
        return call.start_task(
            self,
            "PowerOnVM_Task",
            lambda: self.steps.append("work"),
            begin=lambda: self.steps.append("begin"),
            undo=lambda: self.steps.append("undo"),
            cancelable=True,
        )

    @method("PowerOffVM_Task")
    def power_off(self, call: Call) -> Any:
        def begin() -> None:
            raise vim.fault.InvalidPowerState(
                requestedState="poweredOff", existingState="poweredOff", msg="Off already"
            )

        return call.start_task(self, "PowerOffVM_Task", self.touch, begin=begin)

    @method("ResetVM_Task")
    def reset(self, call: Call) -> Any:
        return call.start_task(self, "ResetVM_Task", lambda: 1 // 0)

    @method("CreateSnapshot_Task")
    def snapshot(self, call: Call, name: str, memory: Any, quiesce: Any) -> Any:
        del name, memory, quiesce
        return call.start_task(self, "CreateSnapshot_Task", lambda: vim.vm.Snapshot("snapshot-1"))


def workshop(lab: Lab) -> Workshop:
    made = Workshop(lab.world, "w")
    lab.root.put(made)
    return made


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def slow(make_lab: MakeLab, clock: ManualClock) -> Lab:
    """Return a world whose tasks take ten seconds."""
    methods = ("ReconfigVM_Task", "PowerOnVM_Task", "ResetVM_Task")
    latency = dict.fromkeys(methods, "10 s")
    return make_lab(clock=clock, latency=latency, task_retention=60.0)


def test_a_task_tells_who_does_what_to_whom(slow: Lab, clock: ManualClock) -> None:
    vm = slow.vm("a")
    clock.advance(5)
    task = slow.connect().of(vm).Reconfigure(MORE)
    info = task.info

    assert info.key == moid(task)
    assert info.descriptionId == "VirtualMachine.reconfigure"
    assert info.name.info.wsdlName == "ReconfigVM_Task"
    assert moid(info.entity) == vm.moid
    assert info.entityName == "a"
    assert info.reason.userName == "admin"
    assert info.cancelable
    assert not info.cancelled
    assert info.queueTime == info.startTime == START + timedelta(seconds=5)
    assert info.eventChainId == 1


def test_a_task_runs_until_its_time_is_over(slow: Lab, clock: ManualClock) -> None:
    vm = slow.vm("a")
    task = slow.connect().of(vm).Reconfigure(MORE)
    clock.advance(4)
    assert (task.info.state, task.info.progress, vm.memory) == ("running", 40, 1024)

    clock.advance(6)
    assert (task.info.state, task.info.progress, vm.memory) == ("success", None, 2048)
    assert task.info.completeTime == START + timedelta(seconds=10)


def test_a_task_without_latency_has_ended_when_its_call_returns(lab: Lab) -> None:
    vm = lab.vm("a")
    task = lab.connect().of(vm).Reconfigure(MORE)

    assert task.info.state == "success"
    assert vm.memory == 2048


def test_the_result_of_the_work_is_the_tasks(lab: Lab) -> None:
    vm = workshop(lab)
    task = lab.connect().of(vm).CreateSnapshot("s", memory=False, quiesce=False)

    assert isinstance(task.info.result, vim.vm.Snapshot)
    assert moid(task.info.result) == "snapshot-1"


def test_a_fault_of_the_work_is_the_tasks_error(lab: Lab) -> None:
    vm = lab.vm("a")
    info = lab.connect().of(vm).Reconfigure(vim.vm.ConfigSpec(memoryMB=0)).info

    assert info.state == "error"
    assert isinstance(info.error, vim.fault.InvalidVmConfig)
    assert info.error.property == "memoryMB"
    assert info.error.msg == "No memory"
    assert info.result is None


def test_a_fault_at_the_begin_ends_the_task_at_once(lab: Lab) -> None:
    info = lab.connect().of(workshop(lab)).PowerOff().info

    assert info.state == "error"
    assert isinstance(info.error, vim.fault.InvalidPowerState)
    assert info.error.existingState == "poweredOff"


def test_a_task_begins_at_once_and_works_at_its_end(slow: Lab, clock: ManualClock) -> None:
    vm = workshop(slow)
    slow.connect().of(vm).PowerOn()
    assert vm.steps == ["begin"]
    clock.advance(10)
    assert vm.steps == ["begin", "work"]


def test_a_cancelled_task_is_undone(slow: Lab, clock: ManualClock) -> None:
    vm = workshop(slow)
    task = slow.connect().of(vm).PowerOn()
    task.Cancel()
    clock.advance(20)

    assert vm.steps == ["begin", "undo"]
    assert task.info.cancelled
    assert isinstance(task.info.error, vmodl.fault.RequestCanceled)
    with pytest.raises(vim.fault.InvalidState):
        task.Cancel()


def test_a_planned_fault_undoes_what_has_begun(make_lab: MakeLab) -> None:
    lab = make_lab(
        faults=[{"on": "PowerOnVM_Task", "nth": 2, "fault": "InsufficientMemoryResourcesFault"}]
    )
    vm = workshop(lab)
    mine = lab.connect().of(vm)

    assert mine.PowerOn().info.state == "success"
    failed = mine.PowerOn().info
    assert failed.state == "error"
    assert isinstance(failed.error, vim.fault.InsufficientMemoryResourcesFault)
    assert vm.steps == ["begin", "work", "begin", "undo"]
    assert mine.PowerOn().info.state == "success"


def test_a_task_that_hangs_never_ends(make_lab: MakeLab, clock: ManualClock) -> None:
    lab = make_lab(clock=clock, faults=[{"on": "ReconfigVM_Task", "hang": True}])
    task = lab.connect().of(lab.vm("a")).Reconfigure(MORE)
    clock.advance(100_000)

    assert lab.world.tasks.recent() == [vim.Task(moid(task))]
    assert lab.connect().of(lab.world.get(moid(task))).info.state == "running"


def test_tasks_are_listed_and_expire(slow: Lab, clock: ManualClock) -> None:
    first, second = slow.vm("a"), slow.vm("b")
    client = slow.connect()
    one, two = client.of(first).Reconfigure(MORE), client.of(second).Reconfigure(MORE)
    assert [moid(t) for t in client.content.taskManager.recentTask] == [moid(one), moid(two)]
    assert [moid(t) for t in client.of(second).recentTask] == [moid(two)]

    clock.advance(69)
    assert one.info.state == "success"
    clock.advance(2)
    assert list(client.content.taskManager.recentTask) == []
    assert list(client.of(second).recentTask) == []
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        _ = one.info


def test_the_end_of_a_task_is_an_update(slow: Lab, clock: ManualClock) -> None:
    client = slow.connect()
    task = client.of(slow.vm("a")).Reconfigure(MORE)
    client.watch(object_spec(task, "info.state", "info.progress"))
    first = client.updates("")
    clock.advance(10)
    second = client.updates(first.version)

    changes = {c.name: c.val for c in second.filterSet[0].objectSet[0].changeSet}
    assert changes == {"info.state": "success", "info.progress": None}


def test_progress_is_told_on_the_way(slow: Lab, clock: ManualClock) -> None:
    client = slow.connect()
    task = client.of(slow.vm("a")).Reconfigure(MORE)
    client.watch(object_spec(task, "info.progress"))
    version = client.updates("").version
    seen = []
    for _ in range(3):
        clock.advance(2.5)
        update = client.updates(version)
        version = update.version
        seen.append(update.filterSet[0].objectSet[0].changeSet[0].val)

    assert seen == [25, 50, 75]


def test_a_bug_in_the_simulator_ends_the_task(slow: Lab, clock: ManualClock) -> None:
    task = slow.connect().of(workshop(slow)).Reset()
    with pytest.raises(ZeroDivisionError):
        clock.advance(10)

    assert isinstance(task.info.error, vmodl.fault.SystemError)
