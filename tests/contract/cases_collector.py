"""Cases about the property collector and views."""

from __future__ import annotations

from typing import Any

from pyVmomi import vim, vmodl

from tests.contract.site import Site, fault, outcome

Query = vmodl.query.PropertyCollector


def _specs(kind: type[Any], *paths: str, every: bool = False) -> list[Any]:
    return [Query.PropertySpec(type=kind, pathSet=list(paths), all=every)]


def _on(obj: Any, kind: type[Any], *paths: str) -> Any:
    """Return a filter for properties of one object."""
    return Query.FilterSpec(objectSet=[Query.ObjectSpec(obj=obj)], propSet=_specs(kind, *paths))


def _view(site: Site, kinds: list[type[Any]], container: Any = None, *, deep: bool = True) -> Any:
    return site.content.viewManager.CreateContainerView(
        container=container or site.content.rootFolder, type=kinds, recursive=deep
    )


def _in_view(site: Site, kind: type[Any], *paths: str) -> Any:
    """Return a filter for properties of all objects of a kind."""
    step = Query.TraversalSpec(name="inView", type=vim.view.ContainerView, path="view", skip=False)
    start = Query.ObjectSpec(obj=_view(site, [kind]), skip=True, selectSet=[step])
    return Query.FilterSpec(objectSet=[start], propSet=_specs(kind, *paths))


def _names(objects: list[Any]) -> list[str]:
    return sorted(one.name for one in objects)


def _read(site: Site, spec: Any, most: int | None = None) -> Any:
    options = Query.RetrieveOptions(maxObjects=most)
    return site.content.propertyCollector.RetrievePropertiesEx([spec], options)


def _values(objects: list[Any]) -> dict[str, Any]:
    return {p.name: p.val for one in objects for p in one.propSet}


def folders_by_traversal(site: Site) -> Any:
    """From the root down with a TraversalSpec that names itself."""
    inside = Query.TraversalSpec(
        name="inside",
        type=vim.Folder,
        path="childEntity",
        selectSet=[Query.SelectionSpec(name="inside"), Query.SelectionSpec(name="datacenter")],
    )
    down = Query.TraversalSpec(
        name="datacenter",
        type=vim.Datacenter,
        path="vmFolder",
        selectSet=[Query.SelectionSpec(name="inside")],
    )
    root = Query.ObjectSpec(obj=site.content.rootFolder, selectSet=[inside, down], skip=True)
    spec = Query.FilterSpec(objectSet=[root], propSet=_specs(vim.ManagedEntity, "name"))
    return sorted(one.propSet[0].val for one in _read(site, spec).objects)


def unknown_selection(site: Site) -> Any:
    """A SelectionSpec that names no traversal."""
    root = Query.ObjectSpec(
        obj=site.content.rootFolder, selectSet=[Query.SelectionSpec(name="nowhere")]
    )
    spec = Query.FilterSpec(objectSet=[root], propSet=_specs(vim.Folder, "name"))
    return fault(lambda: _read(site, spec))


def pages(site: Site) -> Any:
    """How many objects come at a time."""
    collector = site.content.propertyCollector
    page = _read(site, _in_view(site, vim.ManagedEntity, "name"), most=5)
    sizes, names = [len(page.objects)], {one.obj for one in page.objects}
    while page.token:
        page = collector.ContinueRetrievePropertiesEx(page.token)
        sizes.append(len(page.objects))
        names |= {one.obj for one in page.objects}
    return {"full": set(sizes[:-1]) == {5}, "no twins": sum(sizes) == len(names)}


def unknown_page(site: Site) -> Any:
    collector = site.content.propertyCollector
    return fault(lambda: collector.ContinueRetrievePropertiesEx("no-such-token"))


def cancelled_pages(site: Site) -> Any:
    collector = site.content.propertyCollector
    page = _read(site, _in_view(site, vim.ManagedEntity, "name"), most=1)
    collector.CancelRetrievePropertiesEx(page.token)
    return fault(lambda: collector.ContinueRetrievePropertiesEx(page.token))


def narrow_properties(site: Site) -> Any:
    spec = _on(
        site.vm,
        vim.VirtualMachine,
        "name",
        "config.hardware.numCPU",
        "config.template",
        "runtime.powerState",
        "summary.config.memorySizeMB",
    )
    return _values(_read(site, spec).objects)


def unset_property(site: Site) -> Any:
    """What has no value is left out; it is no error."""
    (found,) = _read(site, _on(site.vm, vim.VirtualMachine, "name", "snapshot")).objects
    return [[p.name for p in found.propSet], len(found.missingSet)]


def path_in_an_unset_property(site: Site) -> Any:
    path = "snapshot.currentSnapshot"
    return [p.name for p in _read(site, _on(site.vm, vim.VirtualMachine, path)).objects[0].propSet]


def unknown_property(site: Site) -> Any:
    return fault(lambda: _read(site, _on(site.vm, vim.VirtualMachine, "nonsense")))


def unknown_nested_property(site: Site) -> Any:
    return fault(lambda: _read(site, _on(site.vm, vim.VirtualMachine, "config.nonsense")))


def unknown_object(site: Site) -> Any:
    ghost = vim.VirtualMachine("vm-no-such", site.service._stub)  # noqa: SLF001 - no other way
    return fault(lambda: _read(site, _on(ghost, vim.VirtualMachine, "name")))


def other_type_than_the_object(site: Site) -> Any:
    """A property spec of another type selects nothing."""
    found = _read(site, _on(site.vm, vim.HostSystem, "name"))
    return len(found.objects) if found else 0


def base_type(site: Site) -> Any:
    """A property spec of a base type selects objects of the types derived from it."""
    return _values(_read(site, _on(site.vm, vim.ManagedEntity, "name")).objects)


def read_of_nothing(site: Site) -> Any:
    found = _read(site, _in_view(site, vim.VirtualApp, "name"))
    return None if found is None else len(found.objects)


def container_views(site: Site) -> Any:
    datacenter = site.at("DC0")
    return {
        "vms": _names(_view(site, [vim.VirtualMachine]).view),
        "hosts": _names(_view(site, [vim.HostSystem]).view),
        "two kinds": _names(_view(site, [vim.HostSystem, vim.VirtualMachine]).view),
        "below": _names(_view(site, [vim.VirtualMachine], datacenter).view),
        "flat": _names(_view(site, [], site.content.rootFolder, deep=False).view),
        "folders": _names(_view(site, [vim.Folder], datacenter).view),
        "flat folders": _names(_view(site, [vim.Folder], datacenter, deep=False).view),
        "in a cluster": _names(_view(site, [vim.HostSystem], site.cluster).view),
        "stores": _names(_view(site, [vim.Datastore], datacenter).view),
        "networks": _names(_view(site, [vim.Network], datacenter).view),
        "base": len(_view(site, [vim.ComputeResource]).view),
    }


def container_view_of_a_vm(site: Site) -> Any:
    return fault(lambda: _view(site, [vim.VirtualMachine], site.vm))


def container_view_follows(site: Site) -> Any:
    """A view shows what came after it."""
    view = _view(site, [vim.VirtualMachine])
    made = site.clone()
    with_it = len(view.view)
    site.wait(made.Destroy_Task())
    return [with_it, len(view.view)]


def destroyed_view(site: Site) -> Any:
    view = _view(site, [vim.VirtualMachine])
    view.Destroy()
    return fault(lambda: view.view)


def list_view(site: Site) -> Any:
    first, second = site.vm, site.other_vm
    view = site.content.viewManager.CreateListView(obj=[first])
    held = [_names(view.view)]
    view.ModifyListView(add=[second], remove=[])
    held.append(_names(view.view))
    view.ModifyListView(add=[], remove=[first])
    held.append(_names(view.view))
    view.ResetListView(obj=[])
    return [*held, len(view.view)]


def list_view_of_unknown_objects(site: Site) -> Any:
    """What is not there is returned, and not in the view."""
    view = site.content.viewManager.CreateListView(obj=[site.vm])
    ghost = vim.VirtualMachine("vm-no-such", site.service._stub)  # noqa: SLF001 - no other way
    unresolved = view.ModifyListView(add=[ghost], remove=[])
    return [[ref == ghost for ref in unresolved], len(view.view)]


def _wait(site: Site, version: str = "", seconds: int = 5, most: int | None = None) -> Any:
    options = Query.WaitOptions(maxWaitSeconds=seconds, maxObjectUpdates=most)
    return site.content.propertyCollector.WaitForUpdatesEx(version, options)


def _kinds(update: Any) -> list[tuple[str, list[str]]]:
    return [
        [str(one.kind), [c.name for c in one.changeSet]]
        for part in update.filterSet
        for one in part.objectSet
    ]


def _watch(site: Site, spec: Any, *, partial: bool = False) -> Any:
    return site.content.propertyCollector.CreateFilter(spec, partial)


def first_update_enters(site: Site) -> Any:
    _watch(site, _in_view(site, vim.VirtualMachine, "name"))
    return _kinds(_wait(site))


def change_modifies(site: Site) -> Any:
    _watch(site, _on(site.vm, vim.VirtualMachine, "runtime.powerState", "name"))
    version = _wait(site).version
    site.power_on(site.vm)
    update = _wait(site, version)
    change = update.filterSet[0].objectSet[0].changeSet[0]
    return [_kinds(update), str(change.op), str(change.val)]


def new_vm_enters(site: Site) -> Any:
    """A view that is watched tells of what came after it."""
    _watch(site, _in_view(site, vim.VirtualMachine, "name"))
    version = _wait(site).version
    site.clone()
    return [kind for kind, _ in _kinds(_wait(site, version)) if kind == "enter"]


def gone_vm_leaves(site: Site) -> Any:
    _watch(site, _in_view(site, vim.VirtualMachine, "name"))
    version = _wait(site).version
    site.wait(site.vm.Destroy_Task())
    update = _wait(site, version)
    return update and _kinds(update)


def gone_object_leaves(site: Site) -> Any:
    """The same where the filter names the object itself."""
    _watch(site, _on(site.vm, vim.VirtualMachine, "name"))
    version = _wait(site).version
    site.wait(site.vm.Destroy_Task())
    update = _wait(site, version)
    return update and _kinds(update)


def nothing_new(site: Site) -> Any:
    _watch(site, _on(site.vm, vim.VirtualMachine, "name"))
    version = _wait(site).version
    return _wait(site, version, seconds=0)


def wait_without_filters(site: Site) -> Any:
    return _wait(site, seconds=0) is None


def unknown_version(site: Site) -> Any:
    _watch(site, _on(site.vm, vim.VirtualMachine, "name"))
    _wait(site)
    return fault(lambda: _wait(site, "no-such-version", seconds=0))


def updates_in_parts(site: Site) -> Any:
    """With maxObjectUpdates, an update says that there is more."""
    _watch(site, _in_view(site, vim.VirtualMachine, "name"))
    first = _wait(site, most=1)
    rest = _wait(site, first.version, most=1)
    return [len(_kinds(first)), bool(first.truncated), len(_kinds(rest)), bool(rest.truncated)]


def destroyed_filter(site: Site) -> Any:
    _watch(site, _on(site.vm, vim.VirtualMachine, "name")).Destroy()
    return _wait(site, seconds=0) is None


def filter_with_unknown_property(site: Site) -> Any:
    return fault(lambda: _watch(site, _on(site.vm, vim.VirtualMachine, "nonsense")))


def filter_on_unknown_object(site: Site) -> Any:
    ghost = vim.VirtualMachine("vm-no-such", site.service._stub)  # noqa: SLF001 - no other way
    return fault(lambda: _watch(site, _on(ghost, vim.VirtualMachine, "name")))


def filters_are_listed(site: Site) -> Any:
    collector = site.content.propertyCollector
    one = _watch(site, _on(site.vm, vim.VirtualMachine, "name"))
    listed = len(collector.filter)
    one.Destroy()
    return [listed, len(collector.filter)]


def own_collector(site: Site) -> Any:
    """A collector of one's own knows its own filters only, and can be destroyed."""
    _watch(site, _on(site.vm, vim.VirtualMachine, "name"))
    own = site.content.propertyCollector.CreatePropertyCollector()
    own.CreateFilter(_on(site.host, vim.HostSystem, "name"), False)  # noqa: FBT003 - WSDL's parameter
    update = own.WaitForUpdatesEx("", Query.WaitOptions(maxWaitSeconds=5))
    own.Destroy()
    return [_kinds(update), fault(lambda: own.filter)]


def check_for_updates(site: Site) -> Any:
    _watch(site, _on(site.vm, vim.VirtualMachine, "name"))
    collector = site.content.propertyCollector
    update = collector.CheckForUpdates("")
    return [_kinds(update), collector.CheckForUpdates(update.version)]


def cancel_without_a_wait(site: Site) -> Any:
    return outcome(site.content.propertyCollector.CancelWaitForUpdates)
