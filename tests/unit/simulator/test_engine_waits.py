"""Waits for changes, and the views that they are about."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from provision.simulator.engine.clock import ManualClock
from tests.unit.simulator.reading import enters, vm_view
from tests.unit.simulator.small_world import (
    Client,
    Folder,
    Lab,
    MakeLab,
    Vm,
    moid,
    object_spec,
    view_spec,
)


def test_the_first_update_tells_everything_and_the_next_only_changes(lab: Lab) -> None:
    vm, other = lab.vm("a"), lab.vm("b")
    client = lab.connect()
    client.watch(vm_view(client, "name", "config.hardware.memoryMB"))
    first = client.updates("")
    assert sorted(enters(first)) == [("enter", vm.moid), ("enter", other.moid)]

    client.of(vm).Reconfigure(vim.vm.ConfigSpec(memoryMB=2048))
    second = client.updates(first.version)
    assert enters(second) == [("modify", vm.moid)]
    (change,) = second.filterSet[0].objectSet[0].changeSet
    assert (change.name, change.op, change.val) == ("config.hardware.memoryMB", "assign", 2048)
    assert client.updates(second.version) is None


def test_objects_enter_and_leave_a_watched_view(lab: Lab) -> None:
    vm = lab.vm("a")
    client = lab.connect()
    client.watch(vm_view(client, "name"))
    version = client.updates("").version
    new = lab.vm("b")
    lab.root.drop(vm)

    update = client.updates(version)
    assert sorted(enters(update)) == sorted([("leave", vm.moid), ("enter", new.moid)])


def test_a_property_that_becomes_unset_is_assigned_nothing(lab: Lab) -> None:
    vm = lab.vm("a")
    vm.annotation = "note"
    client = lab.connect()
    client.watch(object_spec(client.of(vm), "config.annotation"))
    version = client.updates("").version
    with lab.world.lock:
        vm.annotation = None
        vm.touch()

    (change,) = client.updates(version).filterSet[0].objectSet[0].changeSet
    assert (change.name, change.op, change.val) == ("config.annotation", "assign", None)


def test_a_touch_that_changes_nothing_is_no_update(lab: Lab) -> None:
    vm = lab.vm("a")
    client = lab.connect()
    client.watch(object_spec(client.of(vm), "name", "config"))
    version = client.updates("").version
    vm.touch()

    assert client.updates(version) is None


def test_updates_come_in_parts_of_the_size_asked_for(lab: Lab) -> None:
    for n in range(5):
        lab.vm(f"vm{n}")
    client = lab.connect()
    client.watch(vm_view(client, "name"))
    first = client.updates("", limit=2)
    second = client.updates(first.version, limit=2)
    third = client.updates(second.version, limit=2)

    assert [u.truncated for u in (first, second, third)] == [True, True, None]
    seen = [name for u in (first, second, third) for name in enters(u)]
    assert len(set(seen)) == 5


def test_an_update_whose_answer_was_lost_is_sent_again(lab: Lab) -> None:
    vm = lab.vm("a")
    client = lab.connect()
    client.watch(object_spec(client.of(vm), "config.hardware.memoryMB"))
    version = client.updates("").version
    client.of(vm).Reconfigure(vim.vm.ConfigSpec(memoryMB=2048))
    lost = client.updates(version)
    again = client.updates(version)

    assert again.version == lost.version
    assert enters(again) == enters(lost)


def test_a_version_that_never_was_is_refused(lab: Lab) -> None:
    client = lab.connect()
    client.watch(object_spec(client.root, "name"))
    client.updates("")

    with pytest.raises(vmodl.query.InvalidCollectorVersion):
        client.updates("77")


def test_an_empty_version_begins_again(lab: Lab) -> None:
    client = lab.connect()
    client.watch(object_spec(client.root, "name"))

    assert enters(client.updates("")) == enters(client.updates(""))


def test_a_destroyed_filter_tells_nothing(lab: Lab) -> None:
    client = lab.connect()
    made = client.watch(object_spec(client.root, "name"))
    made.Destroy()

    assert client.updates("") is None


def test_filters_of_other_sessions_stay_apart(lab: Lab) -> None:
    first, second = lab.connect(), lab.connect()
    made = first.watch(object_spec(first.root, "name"))

    assert second.updates("") is None
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        type(made)(moid(made), second.stub).Destroy()


def test_a_collector_of_ones_own_counts_alone(lab: Lab) -> None:
    client = lab.connect()
    own = client.collector.CreatePropertyCollector()
    own.CreateFilter(object_spec(client.root, "name"), partialUpdates=False)

    assert client.updates("") is None
    assert enters(own.CheckForUpdates("")) == [("enter", lab.root.moid)]
    own.Destroy()
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        own.CheckForUpdates("")


def waiting(lab: Lab, client: Client, version: str) -> tuple[threading.Thread, list[Any]]:
    """Wait for changes in a thread; its outcome, a result or a fault, ends up in the list."""
    outcome: list[Any] = []

    def wait() -> None:
        try:
            outcome.append(client.collector.WaitForUpdatesEx(version, None))
        except (vmodl.MethodFault, ConnectionError) as fault:
            outcome.append(fault)

    thread = threading.Thread(target=wait)
    before = lab.world.calls["WaitForUpdatesEx"]
    thread.start()
    while lab.world.calls["WaitForUpdatesEx"] == before:
        thread.join(0.01)
    return thread, outcome


def test_a_wait_ends_with_a_change_and_holds_nobody_up(lab: Lab) -> None:
    vm = lab.vm("a")
    client, other = lab.connect(), lab.connect()
    client.watch(object_spec(client.of(vm), "config.hardware.memoryMB"))
    version = client.updates("").version
    thread, outcome = waiting(lab, client, version)
    other.of(vm).Reconfigure(vim.vm.ConfigSpec(memoryMB=4096))
    thread.join()

    assert outcome[0].filterSet[0].objectSet[0].changeSet[0].val == 4096


def test_a_wait_can_be_cancelled(lab: Lab) -> None:
    client = lab.connect()
    client.watch(object_spec(client.root, "name"))
    thread, outcome = waiting(lab, client, client.updates("").version)
    client.collector.CancelWaitForUpdates()
    thread.join()

    assert isinstance(outcome[0], vmodl.fault.RequestCanceled)


def test_a_wait_ends_with_its_session(lab: Lab) -> None:
    client = lab.connect()
    client.watch(object_spec(client.root, "name"))
    thread, outcome = waiting(lab, client, client.updates("").version)
    lab.world.sessions.end_all()
    thread.join()

    assert isinstance(outcome[0], vim.fault.NotAuthenticated)


def test_a_wait_ends_with_the_world(lab: Lab) -> None:
    client = lab.connect()
    client.watch(object_spec(client.root, "name"))
    thread, outcome = waiting(lab, client, client.updates("").version)
    lab.world.close()
    thread.join()

    assert isinstance(outcome[0], ConnectionError)


def test_a_wait_is_over_after_its_time(make_lab: MakeLab) -> None:
    clock = ManualClock(jumps=True)
    client = make_lab(clock=clock).connect()
    client.watch(object_spec(client.root, "name"))
    version = client.updates("").version

    assert client.updates(version, seconds=30) is None
    assert clock.monotonic() == 30


def test_list_views_hold_what_is_put_in(lab: Lab) -> None:
    first, second = lab.vm("a"), lab.vm("b")
    client = lab.connect()
    gone = vim.VirtualMachine("vm-404", client.stub)
    view = client.views.CreateListView([client.of(first), gone])
    assert [moid(o) for o in view.view] == [first.moid]

    unknown = view.Modify(add=[client.of(second), gone], remove=[client.of(first)])
    assert [moid(o) for o in unknown] == ["vm-404"]
    assert [moid(o) for o in view.view] == [second.moid]
    view.Reset([client.of(first)])
    assert [moid(o) for o in view.view] == [first.moid]


def test_a_list_view_can_be_watched(lab: Lab) -> None:
    first, second = lab.vm("a"), lab.vm("b")
    client = lab.connect()
    view = client.views.CreateListView([client.of(first)])
    client.watch(view_spec(view, vim.VirtualMachine, "name"))
    version = client.updates("").version
    view.Modify(add=[client.of(second)])

    assert enters(client.updates(version)) == [("enter", second.moid)]


def test_container_views_are_limited_by_type_and_depth(lab: Lab) -> None:
    inner = Folder(lab.world, "inner")
    lab.root.put(inner)
    deep = Vm(lab.world, "deep")
    inner.put(deep)
    shallow = lab.vm("shallow")
    client = lab.connect()

    every = client.view()
    assert {moid(o) for o in every.view} == {inner.moid, deep.moid, shallow.moid}
    assert {moid(o) for o in client.view(vim.VirtualMachine).view} == {deep.moid, shallow.moid}
    flat = client.views.CreateContainerView(client.root, [vim.VirtualMachine], recursive=False)
    assert [moid(o) for o in flat.view] == [shallow.moid]
    assert len(client.views.viewList) == 3
    flat.Destroy()
    assert len(client.views.viewList) == 2
