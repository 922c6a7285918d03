"""The event manager: the simulator keeps no events, and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.engine.objects import SimObject, method, prop

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call


class EventManager(SimObject):
    """`content.eventManager`."""

    wsdl_type = vim.event.EventManager
    prefix = "EventManager"

    @prop("maxCollector")
    def max_collector(self) -> int:
        """How many collectors a session may have."""
        return 32

    @method("QueryEvents")
    def query(self, _: Call, filter: Any, eventViewSpec: Any = None) -> list[Any]:  # noqa: A002, N803 - WSDL's names
        """Return no events."""
        del filter, eventViewSpec
        return []

    @method("CreateCollectorForEvents")
    def create_collector(self, call: Call, filter: Any) -> Any:  # noqa: A002 - WSDL's name
        """Return a collector of no events."""
        collector = EventHistoryCollector(self.world)
        collector.owner = call.session
        collector.filter = filter
        return collector.ref


class EventHistoryCollector(SimObject):
    """A collector of no events; it ends with its session."""

    wsdl_type = vim.event.EventHistoryCollector
    prefix = "EventHistoryCollector"
    filter: Any = None

    @prop("filter")
    def get_filter(self) -> Any:
        """What it was asked to collect."""
        return self.filter

    @prop("latestPage")
    def latest_page(self) -> list[Any]:
        """No events."""
        return []

    @method("ReadNextEvents")
    def read_next(self, _: Call, maxCount: int) -> list[Any]:  # noqa: N803 - WSDL's name
        """Return no events."""
        del maxCount
        return []

    @method("ReadPreviousEvents")
    def read_previous(self, _: Call, maxCount: int) -> list[Any]:  # noqa: N803 - WSDL's name
        """Return no events."""
        del maxCount
        return []

    @method("SetCollectorPageSize")
    def set_page_size(self, _: Call, maxCount: int) -> None:  # noqa: N803 - WSDL's name
        """Take a page size that is never filled."""
        del maxCount

    @method("ResetCollector")
    def reset(self, _: Call) -> None:
        """Start at the last of no events."""

    @method("DestroyCollector")
    def destroy(self, _: Call) -> None:
        """Forget the collector."""
        self.world.remove(self)
