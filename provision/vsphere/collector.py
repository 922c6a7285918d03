"""Bulk reads: many objects, narrow property paths, one call a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from pyVmomi import vim, vmodl

from provision.vsphere.session import Session, VCenterAway
from provision.vsphere.tls import ResponseLost

# A page of 2,000 VMs with narrow paths is about 5 MB of XML: large enough to make round trips
# rare, small enough to be parsed while the next one is computed.
PAGE = 2_000
ATTEMPTS = 5

Paths = Mapping[Any, Sequence[str]]


class _SessionEnded(Exception):
    """vCenter let the read pass and held the properties back: nobody is logged in any more."""


@dataclass(frozen=True, slots=True)
class Found:
    """One object with those of the wanted properties that are set."""

    ref: Any
    values: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The managed object id."""
        return moid(self.ref)

    def get(self, path: str, default: Any = None) -> Any:
        """Return a property, or the default where it is unset."""
        return self.values.get(path, default)


def moid(ref: Any) -> str:
    """Return the id of a managed object reference, such as `vm-34`."""
    return str(ref._moId)  # noqa: SLF001 - pyVmomi has no other name for it


class Collector:
    """Reads objects through one session. All methods may be called from any thread.

    A read that loses its view or its place (a session that ended, a lost page) starts again.
    """

    def __init__(self, session: Session, page: int = PAGE) -> None:
        self._session = session
        self._page = page

    def under(self, container: Any, paths: Paths) -> list[Found]:
        """Return all objects of these types below a container, at any depth."""
        return self._whole(lambda: self._under(container, paths))

    def of(self, refs: Iterable[Any], paths: Paths) -> list[Found]:
        """Return exactly these objects, without those that no longer exist."""
        wanted = {moid(ref): ref for ref in refs}
        while wanted:
            objects = [_object(ref) for ref in wanted.values()]
            try:
                return self._whole(partial(self._read, objects, paths))
            except vmodl.fault.ManagedObjectNotFound as fault:
                if wanted.pop(moid(fault.obj), None) is None:
                    raise
        return []

    def one(self, ref: Any, paths: Sequence[str]) -> Found | None:
        """Return one object; None where it no longer exists."""
        return next(iter(self.of([ref], {type(ref): paths})), None)

    def with_ancestors(self, ref: Any, paths: Sequence[str]) -> list[Found]:
        """Return one managed entity and, with `name` and `parent`, all that it lies in."""
        up = vmodl.query.PropertyCollector.TraversalSpec(
            name="up",
            type=vim.ManagedEntity,
            path="parent",
            selectSet=[vmodl.query.PropertyCollector.SelectionSpec(name="up")],
        )
        start = vmodl.query.PropertyCollector.ObjectSpec(obj=ref, selectSet=[up])
        place = ("name", "parent")
        wanted = {type(ref): paths, vim.Folder: place, vim.Datacenter: place}
        try:
            return self._whole(lambda: self._read([start], wanted))
        except vmodl.fault.ManagedObjectNotFound:
            return []

    def _whole(self, read: Callable[[], list[Found]]) -> list[Found]:
        for _ in range(ATTEMPTS):
            generation = self._session.generation
            try:
                return read()
            except ResponseLost:
                continue
            except _SessionEnded:
                self._session.renew(generation)
            except vmodl.fault.ManagedObjectNotFound as fault:
                # A view that is gone has ended with its session, whether or not vCenter said so.
                if self._same(generation) and not isinstance(fault.obj, vim.view.View):
                    raise
            except vmodl.fault.InvalidArgument:
                if self._same(generation):
                    raise
        raise VCenterAway(
            "vCenter broke off a long read again and again",
            subject=self._session.settings.server,
            why=f"{ATTEMPTS} attempts did not get through all pages",
            fix="check vCenter and the network, then run the same command again",
        )

    def _same(self, generation: int) -> bool:
        return self._session.generation == generation

    def _under(self, container: Any, paths: Paths) -> list[Found]:
        manager = self._session.content.viewManager
        view = manager.CreateContainerView(container, list(paths), recursive=True)
        through = vmodl.query.PropertyCollector.TraversalSpec(
            name="view", type=vim.view.ContainerView, path="view", skip=False
        )
        start = vmodl.query.PropertyCollector.ObjectSpec(obj=view, skip=True, selectSet=[through])
        try:
            return self._read([start], paths)
        finally:
            # A view that is left behind ends with the session.
            with suppress(ResponseLost, VCenterAway, vmodl.fault.ManagedObjectNotFound):
                view.DestroyView()

    def _read(self, objects: Iterable[Any], paths: Paths) -> list[Found]:
        collector = self._session.content.propertyCollector
        spec = vmodl.query.PropertyCollector.FilterSpec(
            objectSet=list(objects),
            propSet=[
                vmodl.query.PropertyCollector.PropertySpec(type=kind, pathSet=list(wanted))
                for kind, wanted in paths.items()
            ],
        )
        options = vmodl.query.PropertyCollector.RetrieveOptions(maxObjects=self._page)
        page = collector.RetrievePropertiesEx([spec], options)
        found: list[Found] = []
        while page is not None:
            found += [_found(content) for content in page.objects]
            if not page.token:
                break
            page = collector.ContinueRetrievePropertiesEx(page.token)
        return found


def _object(ref: Any) -> Any:
    return vmodl.query.PropertyCollector.ObjectSpec(obj=ref)


def _found(content: Any) -> Found:
    if any(isinstance(m.fault, vim.fault.NotAuthenticated) for m in content.missingSet or ()):
        raise _SessionEnded
    return Found(content.obj, {prop.name: prop.val for prop in content.propSet})


def by_type(found: Iterable[Found]) -> dict[Any, list[Found]]:
    """Return the objects by the class of their references."""
    ordered = sorted(found, key=lambda one: type(one.ref).__name__)
    return {kind: list(same) for kind, same in groupby(ordered, key=lambda one: type(one.ref))}
