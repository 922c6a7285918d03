"""The in-process door: a pyVmomi stub that calls the world directly, without XML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyVmomi import vmodl
from pyVmomi.SoapAdapter import StubAdapterBase

from provision.simulator.engine.dispatch import Caller, Request, invoke
from provision.simulator.engine.schema import rebind

if TYPE_CHECKING:
    from provision.simulator.engine.world import World


class InProcessStub(StubAdapterBase):
    """Serves a stock pyVmomi client: `vim.ServiceInstance("ServiceInstance", stub)`.

    What goes in and out is copied, so that a client shares nothing with the world.
    """

    def __init__(self, world: World, version: str | None = None) -> None:
        super().__init__(version or world.api_version)  # type: ignore[no-untyped-call] # pyVmomi
        self._world = world

    def InvokeMethod(self, mo: Any, info: Any, args: Sequence[Any]) -> Any:  # noqa: N802 - pyVmomi's name
        """Call a method, as pyVmomi does for every method and every property.

        Raises:
            vmodl.MethodFault: As the method has it.
            ConnectionError: The fault plan loses the response, or the vCenter is away.
        """
        before = self.sessionId
        caller = Caller(version=self.version, cookie=before, agent="in-process")
        version = self.version
        arguments = {
            p.name: rebind(a, None, version) for p, a in zip(info.params, args, strict=True)
        }
        request = Request(mo._GetMoId(), info, arguments)  # noqa: SLF001 - public
        try:
            return invoke(self._world, caller, request, lambda value: rebind(value, self, version))
        except vmodl.MethodFault as fault:
            raise rebind(fault, self, version) from None
        finally:
            # Another thread may have logged in meanwhile: what did not change is not written.
            if caller.cookie != before:
                self.sessionId = caller.cookie

    def DropConnections(self) -> None:  # noqa: N802 - pyVmomi's name
        """Nothing is connected; pyVim calls this on disconnecting."""

    def __deepcopy__(self, _: dict[int, Any]) -> InProcessStub:
        return self
