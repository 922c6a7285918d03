"""Bulk reads and waits for changes."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from provision.simulator.engine.clock import ManualClock
from tests.unit.simulator.small_world import (
    PC,
    Client,
    Folder,
    Lab,
    MakeLab,
    Vm,
    moid,
    object_spec,
    view_spec,
)


def values(content: Any) -> dict[str, Any]:
    return {prop.name: prop.val for prop in content.propSet}


def enters(update: Any) -> list[tuple[str, str]]:
    return [(o.kind, moid(o.obj)) for f in update.filterSet for o in f.objectSet]


def vm_view(client: Client, *paths: str) -> Any:
    return view_spec(client.view(vim.VirtualMachine), vim.VirtualMachine, *paths)


def test_a_bulk_read_returns_the_paths_that_are_set(lab: Lab) -> None:
    vms = [lab.vm("a"), lab.vm("b")]
    client = lab.connect()
    found = client.read(
        vm_view(client, "name", "config.hardware.memoryMB", "config.annotation", "guest")
    )

    assert found.token is None
    assert {moid(o.obj): values(o) for o in found.objects} == {
        vm.moid: {"name": vm.vm_name, "config.hardware.memoryMB": 1024} for vm in vms
    }


def test_values_have_their_declared_types(lab: Lab) -> None:
    vm = lab.vm("a")
    client = lab.connect()
    found = client.read(
        object_spec(client.of(vm), "runtime.powerState", "recentTask", "config.hardware.device")
    )

    read = values(found.objects[0])
    assert type(read["runtime.powerState"]) is vim.VirtualMachine.PowerState
    assert isinstance(read["config.hardware.device"], list)
    assert isinstance(read["recentTask"], list)


def test_all_reads_every_property_with_a_getter_of_its_own(lab: Lab) -> None:
    vm = lab.vm("a")
    client = lab.connect()
    spec = object_spec(client.of(vm))
    spec.propSet[0].all = True

    assert set(values(client.read(spec).objects[0])) == {"name", "config", "recentTask"}


def test_pages_hold_what_was_asked_for(lab: Lab) -> None:
    names = [lab.vm(f"vm{n}").vm_name for n in range(5)]
    client = lab.connect()
    page = client.read(vm_view(client, "name"), page=2)
    sizes, seen = [], []
    while page is not None:
        sizes.append(len(page.objects))
        seen += [values(o)["name"] for o in page.objects]
        page = client.collector.ContinueRetrievePropertiesEx(page.token) if page.token else None

    assert sizes == [2, 2, 1]
    assert sorted(seen) == names


def test_an_even_number_of_pages_ends_without_an_empty_one(lab: Lab) -> None:
    for n in range(4):
        lab.vm(f"vm{n}")
    client = lab.connect()
    first = client.read(vm_view(client, "name"), page=2)

    assert client.collector.ContinueRetrievePropertiesEx(first.token).token is None


def test_cancelled_pages_are_gone(lab: Lab) -> None:
    for n in range(3):
        lab.vm(f"vm{n}")
    client = lab.connect()
    token = client.read(vm_view(client, "name"), page=1).token
    client.collector.CancelRetrievePropertiesEx(token)

    with pytest.raises(vmodl.fault.InvalidArgument):
        client.collector.ContinueRetrievePropertiesEx(token)


def test_nothing_found_is_no_result(lab: Lab) -> None:
    client = lab.connect()

    assert client.read(vm_view(client, "name")) is None
    assert client.collector.RetrieveProperties([vm_view(client, "name")]) == []


def test_named_traversals_recur(lab: Lab) -> None:
    top, inner = Folder(lab.world, "top"), Folder(lab.world, "inner")
    vm = Vm(lab.world, "deep")
    lab.root.put(top)
    top.put(inner)
    inner.put(vm)
    client = lab.connect()
    again = PC.SelectionSpec(name="folders")
    walk = PC.TraversalSpec(
        name="folders", type=vim.Folder, path="childEntity", skip=False, selectSet=[again]
    )
    spec = PC.FilterSpec(
        objectSet=[PC.ObjectSpec(obj=client.root, skip=False, selectSet=[walk])],
        propSet=[PC.PropertySpec(type=vim.ManagedEntity, pathSet=["name"])],
    )

    names = [values(o)["name"] for o in client.collector.RetrieveProperties([spec])]
    assert sorted(names) == ["Datacenters", "deep", "inner", "top"]


@pytest.mark.parametrize("path", ["nonsense", "config.nonsense"])
def test_an_unknown_property_is_named(lab: Lab, path: str) -> None:
    vm = lab.vm("a")
    client = lab.connect()

    with pytest.raises(vmodl.query.InvalidProperty) as caught:
        client.read(object_spec(client.of(vm), path))
    assert caught.value.name == path


def test_an_unknown_object_is_not_found_unless_it_may_be_missing(lab: Lab) -> None:
    client = lab.connect()
    spec = object_spec(vim.VirtualMachine("vm-404", client.stub), "name")

    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        client.read(spec)
    spec.reportMissingObjectsInResults = True
    assert client.read(spec) is None


def test_what_may_not_be_read_is_listed_as_missing(lab: Lab) -> None:
    client = lab.connect("viewer", "look")
    found = client.read(object_spec(client.sessions, "sessionList", "currentSession"))

    assert [p.name for p in found.objects[0].propSet] == ["currentSession"]
    (missing,) = found.objects[0].missingSet
    assert missing.path == "sessionList"
    assert missing.fault.privilegeId == "Sessions.TerminateSession"


def test_without_login_only_anonymous_properties_are_read(lab: Lab) -> None:
    client = Client(lab.stub())

    assert client.read(object_spec(client.sessions, "currentSession")).objects[0].propSet == []
    with pytest.raises(vim.fault.NotAuthenticated):
        client.read(object_spec(client.root, "name"))


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
