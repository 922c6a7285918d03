"""What placement is asked: one machine's claim on a host."""

from __future__ import annotations

from dataclasses import dataclass

from provision.plan.needs import Need
from provision.plan.snapshot import Host, Power, Vm


@dataclass(frozen=True, slots=True)
class Request:
    """What one machine asks of a host.

    Attributes:
        machine: Name of the machine.
        group: Its group in the lab file.
        cpus: Virtual CPUs.
        memory: Bytes; reserved in full where `need` is set.
        need: Its GPUs; None for a machine without.
        vm: Its VM as it is now, whose memory and cards become free when its turn comes; None
            for a new machine. Its host is tried first.
        movable: Whether it may leave its VM's host where that has no room for it.
    """

    machine: str
    group: str
    cpus: int
    memory: int
    need: Need | None = None
    vm: Vm | None = None
    movable: bool = True

    @property
    def home(self) -> str | None:
        """Id of the host where the VM is; None for a new machine."""
        return self.vm.host_id if self.vm else None

    def gives_back(self, host: Host) -> tuple[int, int]:
        """Return the reserved and the configured bytes that its running VM frees on a host."""
        vm = self.vm
        if vm is None or vm.host_id != host.id or vm.power is not Power.ON:
            return 0, 0
        return vm.memory_reserved, vm.memory
