"""What placement is asked as a whole, and the hosts while they are filled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from provision.plan.hoststate import HostState
from provision.plan.refusals import Reach, unusable
from provision.plan.request import Request
from provision.plan.snapshot import Host, Power, Vm


@dataclass(frozen=True, slots=True)
class Problem:
    """Everything that placement depends on.

    Attributes:
        requests: The machines that need a host, in the order of the lab file.
        hosts: The hosts of the cluster.
        configured: Bytes of memory that powered-on VMs are configured with, by host id.
        reach: What every host must have a way to.
    """

    requests: tuple[Request, ...]
    hosts: tuple[Host, ...]
    configured: Mapping[str, int] = field(default_factory=dict)
    reach: Reach = field(default_factory=Reach)


def configured_memory(vms: Iterable[Vm]) -> dict[str, int]:
    """Return the bytes of memory that powered-on VMs are configured with, by host id."""
    used: dict[str, int] = {}
    for vm in vms:
        if vm.host_id is not None and vm.power is Power.ON:
            used[vm.host_id] = used.get(vm.host_id, 0) + vm.memory
    return used


class Board:
    """The hosts of a problem and the machines that have been placed on them.

    Attributes:
        states: Every host, by id, in the order of their names.
        usable: Those that machines may go to.
        homes: The host of each machine that has one, by the machine's name.
    """

    def __init__(self, problem: Problem, steps: int = 0) -> None:
        """Begin with nothing placed.

        Args:
            problem: What is asked.
            steps: How many power-ons may be tried in search of an order that a host accepts.
        """
        self.problem = problem
        hosts = sorted(problem.hosts, key=lambda host: (host.name, host.id))
        self.states = {
            host.id: HostState.of(host, rank, problem.configured.get(host.id, 0), steps)
            for rank, host in enumerate(hosts)
        }
        self.usable = [
            state for state in self.states.values() if unusable(state.host, problem.reach) is None
        ]
        self.homes: dict[str, HostState] = {}

    def stays(self, request: Request) -> bool:
        """Place a machine that has a VM where that is; True where nothing is left to be done."""
        if request.home is None:
            return False
        state = self.states.get(request.home)
        if request.movable and (state is None or not asked_for(state, request)):
            return False
        if state in self.usable and state.add(request):
            self.homes[request.machine] = state
            return True
        return not request.movable

    def packed(self) -> tuple[int, int]:
        """Return the MiB of framebuffer that the placed machines hold, and their number."""
        placed = [r for r in self.problem.requests if r.machine in self.homes]
        return sum(request.framebuffer_mib for request in placed), len(placed)


def asked_for(state: HostState, request: Request) -> bool:
    """Whether the machine may go to this host as far as its group's wishes say."""
    if request.host not in (None, state.host.name):
        return False
    return not (request.spread and state.has_company(request))
