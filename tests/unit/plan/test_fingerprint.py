"""A plan is stale exactly when something changed that it depends on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from provision.gpu.types import AssignmentPolicy, VgpuMode
from provision.plan.fingerprint import fingerprint
from provision.plan.snapshot import CardUse, Connection, Host, NumaNode, Power, Snapshot, Vm
from tests.unit.plan import worlds

LAB = worlds.lab(
    {"machines": {"cpu": {}, "shared": {"count": 2, "gpu": {"vgpu": "grid_a100d-10c"}}}}
)
WORLD = worlds.snapshot(
    {
        "hosts": {"esx-01": {"cards": {"count": 2}}, "esx-02": {}},
        "vms": {
            "vroom-cpu-1": {"of": "vroom-cpu-1", "host": "esx-02"},
            "stranger": {"host": "esx-02"},
        },
    },
    LAB,
)

Change = Callable[[Snapshot], Snapshot]


def of_host(number: int, change: Callable[[Host], Host]) -> Change:
    def changed(world: Snapshot) -> Snapshot:
        hosts = list(world.hosts)
        hosts[number] = change(hosts[number])
        return replace(world, hosts=tuple(hosts))

    return changed


def of_vm(name: str, **values: Any) -> Change:
    def changed(world: Snapshot) -> Snapshot:
        vms = tuple(replace(vm, **values) if vm.name == name else vm for vm in world.vms)
        return replace(world, vms=vms)

    return changed


def of_card(**values: Any) -> Change:
    return of_host(
        0, lambda host: replace(host, cards=(replace(host.cards[0], **values), host.cards[1]))
    )


def of_template(**values: Any) -> Change:
    return lambda world: replace(world, templates=(replace(world.templates[0], **values),))


def of_datastore(**values: Any) -> Change:
    return lambda world: replace(world, datastores=(replace(world.datastores[0], **values),))


def with_vm(vm: Vm) -> Change:
    return lambda world: replace(world, vms=(*world.vms, vm))


NAMESAKE = Vm("vm-9", "vroom-shared-1", "/DC0/vm/x", "u9", Power.OFF, None, 1, 1, 0)

MATTERS: dict[str, Change] = {
    "a stranger takes a card": of_card(uses=(CardUse("vm-stranger", "grid_a100d-20c"),)),
    "a card's vGPU mode": of_card(vgpu_mode=VgpuMode.MIG),
    "a card waits for a reboot": of_card(passthrough_active=False),
    "a card is gone": of_host(0, lambda host: replace(host, cards=host.cards[:1])),
    "a host is disconnected": of_host(
        1, lambda host: replace(host, connection=Connection.DISCONNECTED)
    ),
    "a host goes into maintenance": of_host(1, lambda host: replace(host, in_maintenance=True)),
    "a host's policy": of_host(
        0, lambda host: replace(host, policy=AssignmentPolicy.CONSOLIDATION)
    ),
    "a host's memory is reserved": of_host(
        0, lambda host: replace(host, memory_reserved=host.memory - 2**34)
    ),
    "a host tells its NUMA nodes": of_host(
        0, lambda host: replace(host, numa_nodes=(NumaNode(0, 32, 2**39),))
    ),
    "a host is upgraded": of_host(0, lambda host: replace(host, api_version="9.0.0")),
    "a host loses its vGPU manager": of_host(0, lambda host: replace(host, vgpu_manager=False)),
    "a host loses the datastore": of_host(0, lambda host: replace(host, datastores=())),
    "the template is changed": of_template(change_version="2"),
    "the template is renamed": of_template(name="old", path="/DC0/vm/old"),
    "the datastore is full": of_datastore(free=2**30),
    "the network is gone": lambda world: replace(world, networks=()),
    "our VM is powered off": of_vm("vroom-cpu-1", power=Power.OFF),
    "our VM loses its stamps": of_vm("vroom-cpu-1", stamps={}),
    "our VM's settings change": of_vm("vroom-cpu-1", settings={"cpuHotAddEnabled": "TRUE"}),
    "a stranger takes a name": with_vm(NAMESAKE),
    "a privilege is withdrawn": lambda world: replace(world, privileges_missing=("x",)),
    "a privilege to move is withdrawn": lambda world: replace(
        world, privileges_missing_to_move=("x",)
    ),
}
DOES_NOT_MATTER: dict[str, Change] = {
    "a stranger without GPU is powered off": of_vm("stranger", power=Power.OFF),
    "a stranger moves": of_vm("stranger", host_id="host-esx-01"),
    "a stranger appears": with_vm(replace(NAMESAKE, name="somebody")),
    "some space is used": of_datastore(free=WORLD.datastores[0].free - 2**33),
    "some memory is reserved": of_host(
        0, lambda host: replace(host, memory_reserved=host.memory_reserved + 2**27)
    ),
    "tools report an address": of_vm("vroom-cpu-1", addresses=("198.18.0.1",)),
    "another template changes": lambda world: replace(
        world,
        templates=(*world.templates, replace(world.templates[0], id="t9", name="x", path="/x")),
    ),
    "objects come in another order": lambda world: replace(
        world, hosts=world.hosts[::-1], vms=world.vms[::-1]
    ),
}


@pytest.mark.parametrize("name", MATTERS)
def test_what_a_plan_depends_on_makes_it_stale(name: str) -> None:
    assert fingerprint(LAB, MATTERS[name](WORLD)) != fingerprint(LAB, WORLD)


@pytest.mark.parametrize("name", DOES_NOT_MATTER)
def test_what_changes_all_the_time_does_not(name: str) -> None:
    assert fingerprint(LAB, DOES_NOT_MATTER[name](WORLD)) == fingerprint(LAB, WORLD)


def test_another_lab_file_makes_a_plan_stale() -> None:
    other = worlds.lab({"machines": {"cpu": {"cpus": 5}}})
    assert fingerprint(other, WORLD) != fingerprint(LAB, WORLD)
