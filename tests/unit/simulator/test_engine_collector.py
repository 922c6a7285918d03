"""Bulk reads."""

from __future__ import annotations

import pytest
from pyVmomi import vim, vmodl

from tests.unit.simulator.reading import values, vm_view
from tests.unit.simulator.small_world import (
    PC,
    Client,
    Folder,
    Lab,
    Vm,
    moid,
    object_spec,
)


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
