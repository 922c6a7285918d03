"""What placement is asked: one machine's claim on a host."""

from __future__ import annotations

from dataclasses import dataclass

from provision.plan.needs import Need


@dataclass(frozen=True, slots=True)
class Request:
    """What one machine asks of a host.

    Attributes:
        machine: Name of the machine.
        group: Its group in the lab file.
        cpus: Virtual CPUs.
        memory: Bytes; reserved in full where `need` is set.
        need: Its GPUs; None for a machine without.
        home: Id of the host where its VM is, which is tried first; None for a new machine.
        movable: Whether it may leave `home` where that has no room for it.
    """

    machine: str
    group: str
    cpus: int
    memory: int
    need: Need | None = None
    home: str | None = None
    movable: bool = True
