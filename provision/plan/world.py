"""The world as it will be once every VM that the plan changes has given back what it holds.

`provision.apply` lets no GPU machine of a host power on before those that give cards back on
that host have done so; therefore placement may count on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from provision.plan.snapshot import Host, Power, Vm


def without(hosts: Iterable[Host], vms: Sequence[Vm]) -> tuple[Host, ...]:
    """Return the hosts as they are when these VMs are powered off."""
    gone = {vm.id for vm in vms}
    reserved: dict[str | None, int] = {}
    for vm in vms:
        if vm.power is Power.ON:
            reserved[vm.host_id] = reserved.get(vm.host_id, 0) + vm.memory_reserved
    return tuple(_without(host, gone, reserved.get(host.id, 0)) for host in hosts)


def _without(host: Host, gone: set[str], reserved: int) -> Host:
    if not reserved and not any(use.vm_id in gone for card in host.cards for use in card.uses):
        return host
    cards = tuple(
        replace(card, uses=tuple(use for use in card.uses if use.vm_id not in gone))
        for card in host.cards
    )
    left = max(0, host.memory_reserved - reserved)
    return replace(host, cards=cards, memory_reserved=left)
