"""What placement is asked: one machine's claim on a host."""

from __future__ import annotations

from dataclasses import dataclass

from provision.plan.needs import ModelNeed, Need, VgpuNeed


@dataclass(frozen=True, slots=True)
class Place:
    """Where a machine is that the plan leaves alone: its host's id and its cards' addresses."""

    host: str
    cards: tuple[str, ...] = ()


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
        together: Whether its group wants to be on one host, and with one vGPU each on one card.
        spread: Whether each machine of its group wants a host of its own.
        host: Name of the one host that it may go to.
        company: Where the machines of its group are that the plan leaves alone; given only where
            `together` or `spread` is.
    """

    machine: str
    group: str
    cpus: int
    memory: int
    need: Need | None = None
    home: str | None = None
    movable: bool = True
    together: bool = False
    spread: bool = False
    host: str | None = None
    company: tuple[Place, ...] = ()

    @property
    def one_card(self) -> bool:
        """Whether the machines of its group must share one card."""
        need = self.need
        single = isinstance(need, VgpuNeed) and need.count == 1 and need.group is None
        return self.together and single

    @property
    def framebuffer_mib(self) -> int:
        """MiB of framebuffer that it asks for, as far as the request tells; else 0."""
        need = self.need
        if isinstance(need, VgpuNeed):
            return need.profile.framebuffer_mib * need.count
        if isinstance(need, ModelNeed):
            return need.model.framebuffer_gib * 1024 * need.count
        return 0
