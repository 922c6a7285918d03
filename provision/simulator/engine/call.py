"""What a managed method is told about who called it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

if TYPE_CHECKING:
    from provision.simulator.engine.faultplan import Effects
    from provision.simulator.engine.objects import SimObject
    from provision.simulator.engine.sessions import Session
    from provision.simulator.engine.world import World

# How often a waiting call looks whether its client has gone, in seconds.
_LOOK_EVERY = 5.0


@dataclass(slots=True)
class Call:
    """One call of a managed method.

    Attributes:
        method: The WSDL name, such as `CloneVM_Task`.
        version: The API version that the client speaks, such as `vim.version.v8_0_3_0`.
        session: The caller's session; None before a login. Login and logout set it.
        effects: What the fault plan has in store for this call.
        alive: Tells whether the client still waits for the answer; None where it must.
    """

    world: World
    method: str
    version: str
    session: Session | None
    effects: Effects
    address: str = "127.0.0.1"
    agent: str = ""
    alive: Callable[[], bool] | None = None

    @property
    def user(self) -> str:
        """The name of the caller's user; empty before a login."""
        return self.session.user if self.session else ""

    def pause(self, seconds: float | None) -> None:
        """Wait, without the lock, until something changes or `seconds` have passed.

        Raises:
            ConnectionResetError: Nobody is left to wait for.
            vim.fault.NotAuthenticated: The session has ended.
        """
        world = self.world
        if self.alive is not None:
            seconds = _LOOK_EVERY if seconds is None else min(seconds, _LOOK_EVERY)
        world.clock.wait(world.changed, seconds)
        if world.closing or world.away or (self.alive and not self.alive()):
            raise ConnectionResetError("the simulated vCenter has hung up")
        if self.session and self.session.ended:
            raise vim.fault.NotAuthenticated(msg="The session has ended")

    def start_task(
        self,
        target: SimObject,
        name: str,
        work: Callable[[], Any],
        *,
        begin: Callable[[], None] | None = None,
        undo: Callable[[], None] | None = None,
        cancelable: bool = False,
    ) -> Any:
        """Start a task and return its reference (`vim.Task`) at once.

        All callables run under the world's lock. A `vmodl.MethodFault` that one of them
        raises becomes the task's error; what they return or raise never reaches the caller.

        Args:
            target: The object that the task is shown at.
            name: The WSDL name of the method; its latency is how long the task takes.
            work: Runs when the latency is over; its return value is the task's result.
            begin: Runs at once, to reserve or show what is being made.
            undo: Runs when a task that has begun fails or is cancelled.
            cancelable: Whether `CancelTask` ends the task.
        """
        return self.world.tasks.start(
            self, target, name, work, begin=begin, undo=undo, cancelable=cancelable
        )
