"""What the event manager tells of tasks that ended, whole or in pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from tests.conftest import MakeSimulator
from tests.unit.simulator.administrator import Administrator

WORLD = """
DC0:
  templates: {u24: {}}
  clusters:
    gpu:
      hosts: {esx-01: {}, esx-02: {}}
      vms: {web: {host: esx-02}}
"""
Filter = vim.event.EventFilterSpec


@pytest.fixture
def admin(in_process: MakeSimulator) -> Administrator:
    return Administrator(in_process(WORLD))


def _told(admin: Administrator, **wanted: Any) -> list[str]:
    events = admin.content.eventManager.QueryEvents(Filter(**wanted))
    return [type(event).__name__.rpartition(".")[2] for event in events]


def _about(entity: Any, recursion: str = "self") -> Any:
    return Filter.ByEntity(entity=entity, recursion=recursion)


def test_a_vms_life_is_told_in_order(admin: Administrator) -> None:
    vm = admin.clone("vm")
    admin.reconfigure(vm, numCPUs=4)
    admin.power_on(vm)
    for step in (vm.SuspendVM_Task, vm.PowerOnVM_Task, vm.ResetVM_Task, vm.PowerOffVM_Task):
        admin.wait(step())
    admin.wait(vm.Destroy_Task())
    assert _told(admin) == [
        "VmClonedEvent",
        "VmReconfiguredEvent",
        "VmPoweredOnEvent",
        "VmSuspendedEvent",
        "VmPoweredOnEvent",
        "VmResettingEvent",
        "VmPoweredOffEvent",
        "VmRemovedEvent",
    ]


def test_an_event_names_everything_it_is_about(admin: Administrator) -> None:
    vm = admin.clone("vm")
    (event,) = admin.content.eventManager.QueryEvents(Filter())
    assert (event.vm.vm, event.vm.name) == (vm, "vm")
    assert event.sourceVm.name == "u24"
    assert (event.host.name, event.computeResource.name, event.datacenter.name) == (
        "esx-01", "gpu", "DC0",
    )  # fmt: skip
    assert event.userName == admin.simulator.username
    assert event.fullFormattedMessage == "vm was cloned from u24, to esx-01"
    assert admin.content.eventManager.latestEvent.key == event.key


def test_a_failed_task_is_an_event_that_says_why(admin: Administrator) -> None:
    with pytest.raises(vim.fault.InvalidPowerState):
        admin.wait(admin.vm("web").PowerOffVM_Task())
    (event,) = admin.content.eventManager.QueryEvents(Filter())
    assert isinstance(event, vim.event.TaskEvent)
    assert isinstance(event.info.error, vim.fault.InvalidPowerState)
    assert "web failed: " in event.fullFormattedMessage


def test_hosts_tell_of_maintenance_mode(admin: Administrator) -> None:
    host = admin.host("esx-01")
    admin.wait(host.EnterMaintenanceMode_Task(timeout=0))
    admin.wait(host.ExitMaintenanceMode_Task(timeout=0))
    assert _told(admin) == ["EnteredMaintenanceModeEvent", "ExitMaintenanceModeEvent"]


def test_events_are_filtered(admin: Administrator) -> None:
    web = admin.vm("web")
    admin.power_on(web)
    admin.reconfigure(admin.clone("vm"), numCPUs=4)
    assert _told(admin, entity=_about(web)) == ["VmPoweredOnEvent"]
    assert _told(admin, entity=_about(admin.host("esx-02"))) == []
    assert _told(admin, entity=_about(admin.host("esx-02"), "all")) == ["VmPoweredOnEvent"]
    assert len(_told(admin, entity=_about(admin.at("DC0/vm"), "all"))) == 3
    assert _told(admin, eventTypeId=["VmClonedEvent", "x"]) == ["VmClonedEvent"]
    assert _told(admin, eventTypeId=["vim.event.VmClonedEvent"]) == ["VmClonedEvent"]
    assert _told(admin, type=[vim.event.VmEvent]) == _told(admin)
    assert _told(admin, maxCount=1) == ["VmReconfiguredEvent"]
    nobody, me = (Filter.ByUsername(systemUser=False, userList=[u]) for u in ("x", _user(admin)))
    assert (_told(admin, userName=nobody), len(_told(admin, userName=me))) == ([], 3)


def _user(admin: Administrator) -> str:
    return str(admin.simulator.username)


def test_events_are_filtered_by_time(admin: Administrator) -> None:
    admin.power_on(admin.vm("web"))
    now = admin.content.eventManager.latestEvent.createdTime
    minute = timedelta(minutes=1)
    assert _told(admin, time=Filter.ByTime(beginTime=now - minute, endTime=now + minute))
    assert not _told(admin, time=Filter.ByTime(beginTime=now + minute))
    assert not _told(admin, time=Filter.ByTime(endTime=now - minute))


def test_a_filter_that_is_not_simulated_is_refused(admin: Administrator) -> None:
    with pytest.raises(vmodl.fault.NotSupported, match="category"):
        admin.content.eventManager.CreateCollectorForEvents(Filter(category=["info"]))


def test_a_collector_turns_pages(admin: Administrator) -> None:
    vm = admin.clone("vm")
    collector = admin.content.eventManager.CreateCollectorForEvents(Filter())
    collector.SetCollectorPageSize(2)
    for cpus in (2, 4, 6, 8):
        admin.reconfigure(vm, numCPUs=cpus)
    keys = [event.key for event in admin.content.eventManager.QueryEvents(Filter())]
    assert [event.key for event in collector.latestPage] == keys[:-3:-1]
    collector.ResetCollector()
    assert [event.key for event in collector.ReadNextEvents(10)] == keys[-2:]
    assert collector.ReadNextEvents(10) == []
    collector.ResetCollector()
    assert [event.key for event in collector.ReadPreviousEvents(2)] == keys[1:3]
    assert [event.key for event in collector.ReadPreviousEvents(9)] == keys[:1]
    collector.RewindCollector()
    assert [event.key for event in collector.ReadNextEvents(3)] == keys[:3]
    with pytest.raises(vmodl.fault.InvalidArgument):
        collector.SetCollectorPageSize(0)
    collector.DestroyCollector()
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        collector.ReadNextEvents(1)


def test_a_collectors_latest_page_can_be_watched(admin: Administrator) -> None:
    collector = admin.content.eventManager.CreateCollectorForEvents(Filter())
    query = vmodl.query.PropertyCollector
    spec = query.FilterSpec(
        objectSet=[query.ObjectSpec(obj=collector)],
        propSet=[query.PropertySpec(type=vim.event.EventHistoryCollector, pathSet=["latestPage"])],
    )
    admin.content.propertyCollector.CreateFilter(spec, partialUpdates=False)
    options = query.WaitOptions(maxWaitSeconds=5)
    first = admin.content.propertyCollector.WaitForUpdatesEx("", options)
    admin.power_on(admin.vm("web"))
    update = admin.content.propertyCollector.WaitForUpdatesEx(first.version, options)
    (change,) = update.filterSet[0].objectSet[0].changeSet
    assert [type(event) for event in change.val] == [vim.event.VmPoweredOnEvent]


def test_kinds_of_events_are_described(admin: Administrator) -> None:
    described = admin.content.eventManager.description
    assert {info.category for info in described.eventInfo} == {"info"}
    assert vim.event.VmPoweredOnEvent in {info.key for info in described.eventInfo}
