"""The order in which machines of one host may power on.

A vGPU's card is picked by its host at power-on, from what is there at that moment, and so is a
passthrough card that is asked for by model or label. The plan knows which card only if machines
of a host power on in the plan's order, and after those that give cards back. Nobody waits here:
who may not pass is parked, and named again once it may.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from provision.apply.pipeline import Step, steps_of
from provision.plan.model import Action
from provision.plan.snapshot import Power
from provision.spec.model import PassthroughRequest


@dataclass(slots=True)
class _Gate:
    """One host: who will give cards back, who passes in which order, and who is parked.

    Dictionaries without values serve as ordered sets.
    """

    holders: dict[str, None] = field(default_factory=dict)
    queue: dict[str, None] = field(default_factory=dict)
    parked: dict[str, None] = field(default_factory=dict)

    def blocker(self, machine: str) -> str | None:
        """Return one machine that must go before `machine`, or None if it may pass."""
        for holder in self.holders:
            if holder != machine:
                return holder
        first = next(iter(self.queue), machine)
        return first if machine in self.queue and first != machine else None

    def release(self) -> tuple[str, ...]:
        """Return the parked machines that may pass now, and let them go."""
        free = tuple(one for one in self.parked if self.blocker(one) is None)
        for one in free:
            del self.parked[one]
        return free


class Turnstile:
    """Who may power on next, per host. Other hosts never matter."""

    def __init__(self, actions: Iterable[Action]) -> None:
        self._gates: dict[str, _Gate] = defaultdict(_Gate)
        self._needs: dict[str, str] = {}
        self._holds: dict[str, str] = {}
        every = tuple(actions)
        self._mixed = _mixed(every)
        for action in every:
            self._admit(action)

    def _admit(self, action: Action) -> None:
        steps, vm = steps_of(action), action.vm
        if Step.SHUT_DOWN in steps and vm and vm.host_id and vm.gpus and vm.power is not Power.OFF:
            self._holds[action.machine] = vm.host_id
            self._gates[vm.host_id].holders[action.machine] = None
        gpu = action.spec.gpu if action.spec else None
        host = _host_of(action)
        if Step.POWER_ON not in steps or gpu is None or host is None:
            return
        self._needs[action.machine] = host
        if not isinstance(gpu, PassthroughRequest) or host in self._mixed:
            self._gates[host].queue[action.machine] = None

    def holds(self, machine: str) -> bool:
        """Whether the machine holds cards that it will give back."""
        return machine in self._holds

    def blocker(self, machine: str) -> str | None:
        """Return a machine that must power on, give cards back or fail before this one."""
        host = self._needs.get(machine)
        return self._gates[host].blocker(machine) if host else None

    def park(self, machine: str) -> None:
        """Remember a machine that may not pass yet."""
        self._gates[self._needs[machine]].parked[machine] = None

    def gave_back(self, machine: str) -> tuple[str, ...]:
        """Record that the machine's cards are free; return the machines that may pass now."""
        host = self._holds.pop(machine, None)
        if host is None:
            return ()
        del self._gates[host].holders[machine]
        return self._gates[host].release()

    def passed(self, machine: str) -> tuple[str, ...]:
        """Record that the machine is on, or won't be; return the machines that may pass now."""
        free = self.gave_back(machine)
        host = self._needs.pop(machine, None)
        if host is None:
            return free
        self._gates[host].queue.pop(machine, None)
        return free + self._gates[host].release()


def _host_of(action: Action) -> str | None:
    return action.host_id or (action.vm.host_id if action.vm else None)


def _mixed(actions: Iterable[Action]) -> set[str]:
    """Return the hosts whose machines ask for whole cards in more than one way.

    One that takes any card of a model may be given the card that another asks for by its address
    or label, unless that other one goes first. Machines that ask for the same need no order.
    """
    wishes: dict[str, set[str]] = defaultdict(set)
    for action in actions:
        gpu, host = action.spec.gpu if action.spec else None, _host_of(action)
        if isinstance(gpu, PassthroughRequest) and host is not None:
            wishes[host].add(gpu.cards)
    return {host for host, cards in wishes.items() if len(cards) > 1}
