from __future__ import annotations

from dataclasses import replace

import pytest

from provision.gpu.catalogue import catalogue
from provision.plan.drift import drift
from provision.plan.needs import ModelNeed, Need, resolve
from provision.plan.settings import CPU_HOT_ADD, MEMORY_LOCKED, MMIO_SIZE, derived_settings
from provision.plan.snapshot import GpuDevice, Snapshot, Vm
from provision.spec.model import Machine
from tests.unit.plan import worlds


def scene(gpu: dict[str, object] | None, **vm: object) -> tuple[Machine, Snapshot, Vm]:
    lab = worlds.lab({"machines": {"m": {"gpu": gpu}}})
    hosts = {"esx-01": {"cards": {"count": 2, "mode": "passthrough"}, "groups": ["pair"]}}
    mine = {"of": "vroom-m-1", "host": "esx-01", **vm}
    world = worlds.snapshot({"hosts": hosts, "vms": {"vroom-m-1": mine}}, lab)
    return lab.resolve()[0], world, world.vms[0]


def need_of(machine: Machine, world: Snapshot) -> Need:
    assert machine.gpu is not None
    need = resolve(machine.gpu, world.hosts)
    assert isinstance(need, Need)
    return need


@pytest.mark.parametrize(
    ("value", "same"),
    [
        ("10de:20b5", True),
        ("10de:20b0,10de:20b5", True),
        ("0x10DE:0x20B5", True),
        ("10de:1eb8", False),
        ("0000:10:00.0", False),
    ],
)
def test_a_card_by_model_is_told_by_its_pci_ids(value: str, *, same: bool) -> None:
    machine, world, vm = scene({"passthrough": "A100-80"})
    need = need_of(machine, world)
    assert isinstance(need, ModelNeed)
    assert need.model is catalogue().model("A100-80")
    vm = replace(vm, gpus=(GpuDevice(13000, "passthrough", value),))
    assert (drift(machine, vm, need).changes == ()) is same


def test_devices_that_vdl_did_not_make_are_no_difference() -> None:
    machine, _, vm = scene(None)
    vm = replace(vm, gpus=(GpuDevice(13000, "other", "a network card"),))
    assert drift(machine, vm, None).changes == ()


def test_members_of_a_device_group_are_told_by_its_name() -> None:
    machine, world, vm = scene({"group": "pair"})
    pair = (GpuDevice(1, "group", "pair", -1), GpuDevice(2, "group", "pair", -1))
    need = need_of(machine, world)
    assert drift(machine, replace(vm, gpus=pair), need).changes == ()
    other = tuple(replace(gpu, value="quad") for gpu in pair)
    [change] = drift(machine, replace(vm, gpus=other), need).changes
    assert (change.path, change.old, change.new) == ("gpu", "quad", "pair")


def test_without_its_history_a_vm_shows_only_that_something_changed() -> None:
    machine, _, vm = scene(None)
    stamps = {"vdl.lab": "vroom", "vdl.machine": "vroom-m-1", "vdl.spec": "0" * 64}
    found = drift(machine, replace(vm, stamps=stamps), None)
    assert [change.path for change in found.changes] == ["spec"]
    assert found.remade == ()


def test_a_stamp_that_is_no_json_is_as_good_as_none() -> None:
    machine, _, vm = scene(None)
    stamps = {**vm.stamps, "vdl.spec": "0" * 64, "vdl.resolved": "{"}
    found = drift(machine, replace(vm, stamps=stamps), None)
    assert [change.path for change in found.changes] == ["spec"]


def test_a_long_value_is_shortened() -> None:
    key = worlds.KEY.replace("tester", "somebody-else")
    machine, _, vm = scene(None, made={"ssh_key": key})
    [change] = drift(machine, vm, None).changes
    assert change.path == "ssh_key"
    assert len(change.old) < 60
    assert change.old != change.new


def test_derived_settings_are_compared_where_the_vm_holds_cards() -> None:
    machine, world, vm = scene({"passthrough": "A100-80"})
    need, card = need_of(machine, world), world.hosts[0].cards[0]
    right = derived_settings([card])
    as_made = replace(vm, settings=right)
    assert drift(machine, as_made, need, [card]).changes == ()
    larger = replace(vm, settings={**right, MMIO_SIZE: "512"})
    assert drift(machine, larger, need, [card]).changes == ()
    unlocked = replace(vm, settings={**right, MEMORY_LOCKED: "FALSE", CPU_HOT_ADD: "TRUE"})
    found = drift(machine, unlocked, need, [card])
    assert [(c.path, c.old, c.new) for c in found.changes] == [
        (CPU_HOT_ADD, "TRUE", "FALSE"),
        (MEMORY_LOCKED, "FALSE", "TRUE"),
    ]
    assert not found.while_it_runs
    lost = {key: value for key, value in right.items() if key != MMIO_SIZE}
    [change] = drift(machine, replace(vm, settings=lost), need, [card]).changes
    assert (change.path, change.old) == (MMIO_SIZE, "none")
