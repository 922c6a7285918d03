"""The property collector: bulk reads in pages, and waiting for changes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from pyVmomi import vim, vmodl

from provision.simulator.engine.filters import PropertyFilter
from provision.simulator.engine.objects import SimObject, method, prop
from provision.simulator.engine.schema import build
from provision.simulator.engine.selection import check, read, select

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.simulator.engine.call import Call

_Collector = vmodl.query.PropertyCollector
_NO_LIMIT = 2**31


@dataclass(slots=True)
class _Watch:
    """How far one session has come with one collector."""

    version: int = 0
    last: Any = None
    cancelled: int = 0
    filters: list[PropertyFilter] = field(default_factory=list)

    def alive(self) -> list[PropertyFilter]:
        """Return the filters that were not destroyed."""
        self.filters = [f for f in self.filters if f.moid in f.world.objects]
        return self.filters


class PropertyCollector(SimObject):
    """Reads properties. The service's own one keeps the filters of every session apart."""

    wsdl_type = vmodl.query.PropertyCollector
    prefix = "session-collector"

    @prop("filter")
    def filter(self) -> list[Any]:
        """The filters of whoever asks."""
        call = self.world.current_call
        watches = call.session.watches if call and call.session else {}
        return [made.ref for made in watches[self.moid].alive()] if self.moid in watches else []

    @method("RetrievePropertiesEx")
    def retrieve_properties_ex(self, call: Call, specSet: list[Any], options: Any) -> Any:  # noqa: N803 - WSDL's name
        """Read many objects; what is beyond `maxObjects` waits for the next page."""
        contents = self._contents(call, specSet)
        limit = options.maxObjects if options and options.maxObjects else _NO_LIMIT
        return self._page(call, contents, limit)

    @method("ContinueRetrievePropertiesEx")
    def continue_retrieve_properties_ex(self, call: Call, token: str) -> Any:
        """Return the next page."""
        contents, limit = self._pages(call).pop(token, (None, 0))
        if contents is None:
            raise vmodl.fault.InvalidArgument(invalidProperty="token", msg="Unknown token")
        return self._page(call, contents, limit)

    @method("CancelRetrievePropertiesEx")
    def cancel_retrieve_properties_ex(self, call: Call, token: str) -> None:
        """Forget the pages that are left."""
        if self._pages(call).pop(token, None) is None:
            raise vmodl.fault.InvalidArgument(invalidProperty="token", msg="Unknown token")

    @method("RetrieveProperties")
    def retrieve_properties(self, call: Call, specSet: list[Any]) -> list[Any]:  # noqa: N803 - WSDL's name
        """Read many objects at once."""
        return list(self._contents(call, specSet))

    @method("CreateFilter")
    def create_filter(self, call: Call, spec: Any, partialUpdates: bool) -> Any:  # noqa: FBT001, N803 - WSDL's signature
        """Start to watch what a spec selects."""
        made = PropertyFilter(call, spec, partialUpdates)
        self._watch(call).filters.append(made)
        return made.ref

    @method("CreatePropertyCollector")
    def create_property_collector(self, call: Call) -> Any:
        """Make a collector with filters and versions of its own."""
        made = PropertyCollector(self.world)
        made.owner = call.session
        return made.ref

    @method("DestroyPropertyCollector")
    def destroy_property_collector(self, call: Call) -> None:
        """Forget a collector and its filters; its waits end."""
        if self.owner is None:
            raise vmodl.fault.NotSupported(msg="The service's own collector stays")
        watch = self._watch(call)
        watch.cancelled += 1
        for made in watch.alive():
            self.world.remove(made)
        self.world.remove(self)

    @method("WaitForUpdatesEx")
    def wait_for_updates_ex(self, call: Call, version: str | None, options: Any) -> Any:
        """Wait until something has changed since `version`; None when the time is over."""
        seconds = options.maxWaitSeconds if options else None
        limit = options.maxObjectUpdates if options and options.maxObjectUpdates else _NO_LIMIT
        return self._wait(call, version, seconds, limit)

    @method("WaitForUpdates")
    def wait_for_updates(self, call: Call, version: str | None) -> Any:
        """Wait until something has changed since `version`."""
        return self._wait(call, version, None, _NO_LIMIT)

    @method("CheckForUpdates")
    def check_for_updates(self, call: Call, version: str | None) -> Any:
        """Return what has changed since `version`, without waiting."""
        return self._wait(call, version, 0, _NO_LIMIT)

    @method("CancelWaitForUpdates")
    def cancel_wait_for_updates(self, call: Call) -> None:
        """End the session's waits with `RequestCanceled`."""
        self._watch(call).cancelled += 1
        self.world.changed.notify_all()

    def _contents(self, call: Call, specs: list[Any]) -> Iterator[Any]:
        """Select at once; read while being iterated, so that a page costs what it holds."""
        selections = []
        for spec in specs:
            check(spec)
            selection = select(self.world, spec)
            if selection.missing and not spec.reportMissingObjectsInResults:
                raise vmodl.fault.ManagedObjectNotFound(obj=selection.missing[0])
            selections.append(selection)
        return self._read(call, [item for s in selections for item in s.paths.items()])

    def _read(self, call: Call, items: list[tuple[str, tuple[str, ...]]]) -> Iterator[Any]:
        for moid, paths in items:
            obj = self.world.objects.get(moid)
            if obj is None:
                continue
            values, missing = read(self.world, call.session, obj, paths)
            props = [build(vmodl.DynamicProperty, name=name, val=value) for name, value in values]
            yield build(_Collector.ObjectContent, obj=obj.ref, propSet=props, missingSet=missing)

    def _page(self, call: Call, contents: Iterator[Any], limit: int) -> Any:
        page = list(islice(contents, limit))
        if not page:
            return None
        token = None
        if len(page) == limit and (following := next(contents, None)) is not None:
            token = secrets.token_hex(8)
            self._pages(call)[token] = (_again(following, contents), limit)
        return _Collector.RetrieveResult(token=token, objects=page)

    def _pages(self, call: Call) -> dict[str, Any]:
        if call.session is None:
            raise vim.fault.NotAuthenticated(object=self.ref, privilegeId="System.View")
        return call.session.pages

    def _watch(self, call: Call) -> _Watch:
        if call.session is None:
            raise vim.fault.NotAuthenticated(object=self.ref, privilegeId="System.View")
        watches: dict[str, _Watch] = call.session.watches
        return watches.setdefault(self.moid, _Watch())

    def _wait(self, call: Call, version: str | None, seconds: int | None, limit: int) -> Any:
        watch = self._watch(call)
        if (again := self._resume(watch, version)) is not None:
            return again
        clock = self.world.clock
        until = None if seconds is None else clock.monotonic() + seconds
        cancelled = watch.cancelled
        while True:
            if watch.cancelled != cancelled:
                raise vmodl.fault.RequestCanceled(msg="The wait was cancelled")
            if (update := _collect(watch, limit)) is not None:
                return update
            left = None if until is None else until - clock.monotonic()
            if left is not None and left <= 0:
                return None
            call.pause(left)

    def _resume(self, watch: _Watch, version: str | None) -> Any:
        """Go back to the client's version; return the update that it asks for once more."""
        if not version:
            for made in watch.alive():
                made.forget()
        elif version == str(watch.version - 1) and watch.last is not None:
            return watch.last
        elif version != str(watch.version):
            raise vmodl.query.InvalidCollectorVersion(msg=f"Unknown version {version}")
        return None


def _collect(watch: _Watch, limit: int) -> Any:
    """Return an update set with what is new; None where nothing is."""
    updates, truncated, left = [], False, limit
    for made in watch.alive():
        found, more = made.updates(left)
        truncated |= more
        left -= len(found)
        if found:
            updates.append(build(_Collector.FilterUpdate, filter=made.ref, objectSet=found))
    if not updates:
        return None
    watch.version += 1
    watch.last = _Collector.UpdateSet(
        version=str(watch.version), filterSet=updates, truncated=truncated or None
    )
    return watch.last


def _again(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
