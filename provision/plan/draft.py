"""What is to be done to a machine, before a host is found for it."""

from __future__ import annotations

from dataclasses import dataclass

from provision.plan.devices import request_text
from provision.plan.drift import Drift
from provision.plan.model import ActionKind, Change
from provision.plan.names import listed
from provision.plan.needs import Need
from provision.plan.request import Place, Request
from provision.plan.snapshot import Vm
from provision.spec.model import Machine


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be done to a machine.

    Attributes:
        movable: Whether its VM may leave its host where that has no room for it.
        restart: Whether a running VM must be powered off for it.
        has_run: Whether the VM may hold somebody's work.
        moves: Whether the VM leaves its host because its group asks for another one.
    """

    machine: Machine
    kind: ActionKind
    reason: str
    need: Need | None = None
    vm: Vm | None = None
    changes: tuple[Change, ...] = ()
    movable: bool = True
    restart: bool = True
    has_run: bool = False
    moves: bool = False

    @property
    def stays(self) -> bool:
        """Whether the machine keeps its host and its cards, changed or not."""
        return self.kind is ActionKind.NONE or not self.restart

    def request(self, company: tuple[Place, ...] = ()) -> Request:
        """Return what the machine asks of a host.

        Args:
            company: Where the machines of its group are that the plan leaves alone.
        """
        machine = self.machine
        return Request(
            machine=machine.name,
            group=machine.group,
            cpus=machine.cpus,
            memory=machine.memory,
            need=self.need,
            home=self.vm.host_id if self.vm and not self.moves else None,
            movable=self.vm is None or self.movable,
            together=machine.together,
            spread=machine.spread,
            host=machine.host,
            company=company if machine.together or machine.spread else (),
        )


def creation_text(machine: Machine) -> str:
    """Say what a new machine is made of."""
    parts = [f"{machine.cpus} CPUs", str(machine.memory), f"{machine.disk} disk"]
    if machine.gpu is not None:
        parts.append(request_text(machine.gpu))
    return f"from {machine.template}: {', '.join(parts)}"


def drift_text(found: Drift) -> str:
    """Say why a VM that exists is changed; empty where it is not."""
    parts = []
    if found.unfinished:
        parts.append(f"unfinished: {', '.join(found.unfinished)}")
    if found.remade:
        parts.append(
            f"{listed(found.remade)}: used by the first boot, so only a new VM can have it"
        )
    elif found.changes and not found.gpus_missing:
        how = "changed while it runs" if found.while_it_runs else "needs a power cycle"
        parts.append(f"{listed(c.path for c in found.changes)}: {how}")
    return "; ".join(parts)
