"""Property filters: what a client watches, and what has changed since it last looked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pyVmomi import vmodl

from provision.simulator.engine.objects import SimObject, method, prop
from provision.simulator.engine.schema import build, freeze
from provision.simulator.engine.selection import Selection, check, read, select

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call

_Collector = vmodl.query.PropertyCollector
_Seen = dict[str, Any]


class PropertyFilter(SimObject):
    """One filter of a session. It remembers what its client has been told."""

    wsdl_type = vmodl.query.PropertyCollector.Filter
    prefix = "session-filter"

    def __init__(self, call: Call, spec: Any, partial_updates: Any) -> None:
        check(spec)
        missing = select(call.world, spec).missing
        if missing and not spec.reportMissingObjectsInResults:
            raise vmodl.fault.ManagedObjectNotFound(obj=missing[0])
        super().__init__(call.world)
        self.owner = call.session
        self._spec = spec
        self._partial = bool(partial_updates)
        self._selection = Selection()
        self._told: dict[str, _Seen] = {}
        self._pending: dict[str, None] = {}
        self._looked_at = -1

    @prop("spec")
    def spec(self) -> Any:
        """What the filter selects."""
        return self._spec

    @prop("partialUpdates")
    def partial_updates(self) -> bool:
        """Whether the client takes changes of parts of a property."""
        return self._partial

    @method("DestroyPropertyFilter")
    def destroy(self, _: Call) -> None:
        """Forget the filter."""
        self.world.remove(self)

    def forget(self) -> None:
        """Begin again: the client has been told nothing."""
        self._told.clear()
        self._pending.clear()
        self._looked_at = -1

    def updates(self, limit: int) -> tuple[list[Any], bool]:
        """Return at most `limit` object updates, and whether more are waiting."""
        if self._looked_at != self.world.version:
            self._look()
        found: list[Any] = []
        while self._pending and len(found) < limit:
            moid = next(iter(self._pending))
            del self._pending[moid]
            if (update := self._update(moid)) is not None:
                found.append(update)
        return found, bool(self._pending)

    def _look(self) -> None:
        """Queue the objects that may have changed, and select anew if what leads to them has."""
        touched = [] if self._looked_at < 0 else list(self.world.touched_since(self._looked_at))
        if self._must_select(touched):
            self._selection = select(self.world, self._spec)
            chosen = self._selection.paths
            self._pending.update((m, None) for m in chosen if m not in self._told)
            self._pending.update((m, None) for m in self._told if m not in chosen)
        for moid in reversed(touched):
            if moid in self._told:
                self._pending[moid] = None
        self._looked_at = self.world.version

    def _must_select(self, touched: list[str]) -> bool:
        if self._looked_at < 0:
            return True
        if self._selection.views and self.world.containment > self._looked_at:
            return True
        return not self._selection.followed.isdisjoint(touched)

    def _update(self, moid: str) -> Any:
        """Return what the client has to be told of one object; None where it knows all."""
        obj = self.world.objects.get(moid)
        paths = self._selection.paths.get(moid)
        before = self._told.get(moid)
        if obj is None or paths is None:
            return None if before is None else self._leave(moid, before)
        values, missing = read(self.world, self.owner, obj, paths)
        now = {path: freeze(value) for path, value in values}
        self._told[moid] = {**now, "": obj.ref}
        changes = list(_changes(before or {}, now, dict(values)))
        if before is not None and not changes:
            return None
        return build(
            _Collector.ObjectUpdate,
            kind="modify" if before is not None else "enter",
            obj=obj.ref,
            changeSet=changes,
            missingSet=missing if before is None else [],
        )

    def _leave(self, moid: str, before: _Seen) -> Any:
        del self._told[moid]
        return build(_Collector.ObjectUpdate, kind="leave", obj=before[""])


def _changes(before: _Seen, now: _Seen, values: dict[str, Any]) -> Iterator[Any]:
    for path, value in values.items():
        if path not in before or before[path] != now[path]:
            yield build(_Collector.Change, name=path, op="assign", val=value)
    for path in before:
        if path and path not in now:
            yield build(_Collector.Change, name=path, op="assign", val=None)
