"""Which objects a property filter selects, and what it reads from each of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyVmomi import vim, vmodl

from provision.simulator.engine.objects import NO_LOGIN_NEEDED, SimObject
from provision.simulator.engine.schema import (
    Kind,
    build,
    conform,
    declared_type,
    property_privilege,
)

if TYPE_CHECKING:
    from provision.simulator.engine.sessions import Session
    from provision.simulator.engine.world import World

_Collector = vmodl.query.PropertyCollector


@dataclass(slots=True)
class Selection:
    """What one `FilterSpec` selects.

    Attributes:
        paths: The property paths to read, by the selected object's id.
        followed: Ids of the objects whose properties lead to other objects.
        views: Whether one of them is a view, which changes when the inventory tree does.
        missing: References of the spec's own objects that do not exist.
    """

    paths: dict[str, tuple[str, ...]] = field(default_factory=dict)
    followed: set[str] = field(default_factory=set)
    views: bool = False
    missing: list[Any] = field(default_factory=list)


def check(spec: Any) -> None:
    """Check the property names of a `FilterSpec`.

    Raises:
        vmodl.query.InvalidProperty: A type has no such property.
    """
    for properties in spec.propSet:
        for path in properties.pathSet:
            declared_type(properties.type, path)


def select(world: World, spec: Any) -> Selection:
    """Run the traversals of a `FilterSpec`."""
    return _Traversal(world, spec).run()


class _Traversal:
    def __init__(self, world: World, spec: Any) -> None:
        self._world = world
        self._spec = spec
        self._named: dict[str, Any] = {}
        self._paths: dict[type[SimObject], tuple[str, ...] | None] = {}
        self._seen: set[tuple[str, int]] = set()
        self._result = Selection()
        for start in spec.objectSet:
            self._collect_names(start.selectSet)

    def run(self) -> Selection:
        todo: list[tuple[SimObject, Any]] = []
        for start in self._spec.objectSet:
            obj = self._world.objects.get(start.obj._GetMoId())  # noqa: SLF001 - public
            if obj is None:
                self._result.missing.append(start.obj)
                continue
            if not start.skip:
                self._include(obj)
            todo.append((obj, start.selectSet))
        while todo:
            obj, select_set = todo.pop()
            for step in self._steps(obj, select_set):
                targets = self._follow(obj, step)
                if not step.skip:
                    for target in targets:
                        self._include(target)
                if step.selectSet:
                    todo.extend((target, step.selectSet) for target in targets)
        return self._result

    def _collect_names(self, select_set: Iterable[Any]) -> None:
        for step in select_set:
            if isinstance(step, _Collector.TraversalSpec):
                if step.name:
                    self._named[step.name] = step
                self._collect_names(step.selectSet)

    def _steps(self, obj: SimObject, select_set: Any) -> list[Any]:
        """Return the traversals that start at an object and were not yet taken from there."""
        key = (obj.moid, id(select_set))
        if not select_set or key in self._seen:
            return []
        self._seen.add(key)
        steps = []
        for step in select_set:
            full = step if isinstance(step, _Collector.TraversalSpec) else self._resolve(step.name)
            if issubclass(obj.wsdl_type, full.type):
                steps.append(full)
        return steps

    def _resolve(self, name: str) -> Any:
        try:
            return self._named[name]
        except KeyError:
            raise vmodl.fault.InvalidArgument(
                invalidProperty="selectSet", msg=f"No traversal is named {name!r}"
            ) from None

    def _follow(self, obj: SimObject, step: Any) -> list[SimObject]:
        self._result.followed.add(obj.moid)
        self._result.views |= issubclass(obj.wsdl_type, vim.view.View)
        value = obj.read(step.path)
        refs = value if isinstance(value, list) else [] if value is None else [value]
        objects = self._world.objects
        moids = [ref._moId for ref in refs]  # noqa: SLF001 - faster than its public getter
        return [objects[moid] for moid in moids if moid in objects]

    def _include(self, obj: SimObject) -> None:
        kind = type(obj)
        if kind not in self._paths:
            self._paths[kind] = self._paths_of(kind)
        paths = self._paths[kind]
        if paths is not None:
            self._result.paths[obj.moid] = paths

    def _paths_of(self, kind: type[SimObject]) -> tuple[str, ...] | None:
        """Return what is to be read from objects of a class; None where no spec is for it."""
        specs = [s for s in self._spec.propSet if issubclass(kind.wsdl_type, s.type)]
        if not specs:
            return None
        paths: dict[str, None] = {}
        for spec in specs:
            whole = sorted(p for p in kind.properties if "." not in p) if spec.all else ()
            paths.update(dict.fromkeys([*whole, *spec.pathSet]))
        return tuple(paths)


def read(
    world: World, session: Session | None, obj: SimObject, paths: Iterable[str]
) -> tuple[list[tuple[str, Any]], list[Any]]:
    """Return the set values of an object by path, and what the session may not read.

    Raises:
        vim.fault.NotAuthenticated: A property can't be read without a login.
        vmodl.query.InvalidProperty: The type has no such property.
    """
    values, missing = [], []
    kind: Kind = obj.wsdl_type
    for path in paths:
        declared = declared_type(kind, path)
        privilege = property_privilege(kind, path)
        if privilege != NO_LOGIN_NEEDED and not world.allows(session, privilege):
            missing.append(_refusal(session, obj, path, privilege))
        elif (value := obj.read(path)) is not None:
            values.append((path, conform(value, declared)))
    return values, missing


def _refusal(session: Session | None, obj: SimObject, path: str, privilege: str) -> Any:
    if session is None:
        raise vim.fault.NotAuthenticated(object=obj.ref, privilegeId=privilege)
    fault = vim.fault.NoPermission(object=obj.ref, privilegeId=privilege)
    return build(_Collector.MissingProperty, path=path, fault=fault)
