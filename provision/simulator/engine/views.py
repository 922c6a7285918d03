"""Views: lists of objects that a client keeps on the server to collect properties from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pyVmomi import vim, vmodl

from provision.simulator.engine.objects import SimObject, method, prop

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call

# Where the children of a managed entity are found (vSphere API reference, ContainerView).
_CHILDREN: tuple[tuple[type[Any], tuple[str, ...]], ...] = (
    (vim.Folder, ("childEntity",)),
    (vim.Datacenter, ("vmFolder", "hostFolder", "datastoreFolder", "networkFolder")),
    (vim.ComputeResource, ("host", "resourcePool")),
    (vim.ResourcePool, ("resourcePool", "vm")),
    (vim.HostSystem, ("vm",)),
)


def children(obj: SimObject) -> Iterator[SimObject]:
    """Yield the objects that a managed entity contains directly."""
    objects = obj.world.objects
    for kind, paths in _CHILDREN:
        if issubclass(obj.wsdl_type, kind):
            for path in paths:
                value = obj.read(path)
                refs = value if isinstance(value, list) else [] if value is None else [value]
                yield from (objects[r._moId] for r in refs if r._moId in objects)  # noqa: SLF001


def descendants(obj: SimObject) -> list[SimObject]:
    """Return everything below a managed entity, each object once."""
    found: dict[str, SimObject] = {}
    todo = [obj]
    while todo:
        for child in children(todo.pop()):
            if child.moid not in found:
                found[child.moid] = child
                todo.append(child)
    return list(found.values())


class View(SimObject):
    """What all views have in common: an end."""

    @method("DestroyView")
    def destroy(self, _: Call) -> None:
        """Forget the view."""
        self.world.remove(self)


class ContainerView(View):
    """The objects of some types below a managed entity, as they are at each moment."""

    wsdl_type = vim.view.ContainerView
    prefix = "session-view"

    def __init__(self, call: Call, container: Any, kinds: list[type[Any]], recursive: Any) -> None:
        super().__init__(call.world)
        self.owner = call.session
        self._container = container
        self._kinds = kinds
        self._recursive = recursive
        self._cached: list[Any] = []
        self._cached_at = -1

    @prop("container")
    def container(self) -> Any:
        """The entity at the top."""
        return self._container

    @prop("type")
    def type(self) -> list[Any]:
        """The types that the view is limited to; empty for all."""
        return self._kinds

    @prop("recursive")
    def recursive(self) -> bool:
        """Whether the view looks deeper than one level."""
        return bool(self._recursive)

    @prop("view")
    def view(self) -> list[Any]:
        """References to the objects in the view."""
        if self._cached_at != self.world.containment:
            self._cached = self._compute()
            self._cached_at = self.world.containment
        return self._cached

    def _compute(self) -> list[Any]:
        top = self.world.objects.get(self._container._GetMoId())  # noqa: SLF001 - public
        if top is None:
            return []
        found: Iterable[SimObject] = descendants(top) if self._recursive else children(top)
        kinds = tuple(self._kinds)
        return [o.ref for o in found if not kinds or issubclass(o.wsdl_type, kinds)]


class ListView(View):
    """The objects that a client put in."""

    wsdl_type = vim.view.ListView
    prefix = "session-view"

    def __init__(self, call: Call, refs: list[Any]) -> None:
        super().__init__(call.world)
        self.owner = call.session
        self._refs: dict[str, Any] = {}
        self._put(refs)

    @prop("view")
    def view(self) -> list[Any]:
        """References to those objects that still exist."""
        return [ref for moid, ref in self._refs.items() if moid in self.world.objects]

    @method("ModifyListView")
    def modify(self, _: Call, add: list[Any], remove: list[Any]) -> list[Any]:
        """Put objects in and take objects out; return those that do not exist."""
        for ref in remove:
            self._refs.pop(ref._GetMoId(), None)  # noqa: SLF001 - public
        return self._put(add)

    @method("ResetListView")
    def reset(self, _: Call, obj: list[Any]) -> list[Any]:
        """Replace all objects; return those that do not exist."""
        self._refs.clear()
        return self._put(obj)

    @method("ResetListViewFromView")
    def reset_from_view(self, _: Call, view: Any) -> None:
        """Replace all objects by those of another view."""
        refs = list(self.world.resolve(view).read("view"))
        self._refs.clear()
        self._put(refs)

    def _put(self, refs: list[Any]) -> list[Any]:
        unknown = [r for r in refs if r._GetMoId() not in self.world.objects]  # noqa: SLF001
        known = {r._GetMoId(): r for r in refs if r not in unknown}  # noqa: SLF001 - public
        self._refs.update(known)
        self.touch()
        return unknown


class ViewManager(SimObject):
    """Makes views."""

    wsdl_type = vim.view.ViewManager
    prefix = "ViewManager"

    @prop("viewList")
    def view_list(self) -> list[Any]:
        """The views of whoever asks."""
        call = self.world.current_call
        owner = call.session if call else None
        return [
            o.ref for o in self.world.objects.values() if isinstance(o, View) and o.owner is owner
        ]

    @method("CreateContainerView")
    def create_container_view(
        self,
        call: Call,
        container: Any,
        type: list[Any],  # noqa: A002 - WSDL's name
        recursive: bool,  # noqa: FBT001 - WSDL's signature
    ) -> Any:
        """Make a view of what is below a managed entity that can contain others."""
        top = self.world.resolve(container)
        if not any(issubclass(top.wsdl_type, kind) for kind, _ in _CHILDREN):
            raise vmodl.fault.InvalidArgument(
                invalidProperty="container", msg=f"{top.moid} contains nothing"
            )
        return ContainerView(call, container, type, recursive).ref

    @method("CreateListView")
    def create_list_view(self, call: Call, obj: list[Any]) -> Any:
        """Make a view of given objects."""
        return ListView(call, obj).ref

    @method("CreateListViewFromView")
    def create_list_view_from_view(self, call: Call, view: Any) -> Any:
        """Make a list view of the objects of another view."""
        return ListView(call, list(self.world.resolve(view).read("view"))).ref
