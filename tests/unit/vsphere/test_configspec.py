from dataclasses import replace
from typing import Any

import pytest
from pyVmomi import vim

from provision.plan.identity import stamps
from provision.plan.model import Action, ActionKind, CardChoice
from provision.plan.snapshot import STAMP_LAB, STAMP_MACHINE, STAMP_RESOLVED, STAMP_SPEC
from provision.spec.model import Machine
from provision.vsphere import configspec
from provision.vsphere.cloudinit import guestinfo
from provision.vsphere.devices import VmConfig, options
from provision.vsphere.gpuspec import CardFacts
from tests.unit.vsphere.devices import config, disk, network_card
from tests.unit.vsphere.site import make_lab

UUID = "5e1e43cf-3205-5e33-aba8-26c64f1f1c51"
MMIO = {"pciPassthru.use64bitMMIO": "TRUE", "pciPassthru.64bitMMIOSizeGB": "256"}
DERIVED = {
    "memoryReservationLockedToMax": "TRUE",
    "cpuHotAddEnabled": "FALSE",
    "firmware": "efi",
    **MMIO,
}
NETWORK = configspec.network_backing(None, "VM Network")
TEMPLATE = config([], disk(40), network_card())
VGPU = {"gpu": {"vgpu": "grid_a100d-10c"}}


def action(**group: Any) -> Action:
    machine = make_lab(one=group).resolve()[0]
    settings = DERIVED if machine.gpu else {}
    cards = (CardChoice("esx-01", "0000:3b:00.0"),) if machine.gpu else ()
    return Action(ActionKind.CREATE, machine.name, "", spec=machine, settings=settings, cards=cards)


def machine_of(one: Action) -> Machine:
    assert one.spec is not None
    return one.spec


def place() -> configspec.Place:
    return configspec.Place(
        pool=vim.ResourcePool("resgroup-1"),
        host=vim.HostSystem("host-1"),
        datastore=vim.Datastore("datastore-1"),
    )


def clone(one: Action, template: VmConfig = TEMPLATE) -> Any:
    return configspec.clone_spec(one, UUID, place(), template, NETWORK)


def reconfigure(one: Action, now: VmConfig) -> Any:
    return configspec.reconfigure_spec(one, now, configspec.Parts(CardFacts()))


def finished(one: Action) -> VmConfig:
    """Return the configuration of a VM that is as its spec says."""
    machine = machine_of(one)
    gpus = ["vgpu grid_a100d-10c"] if machine.gpu else []
    extra = {key: value for key, value in one.settings.items() if key.startswith("pci")}
    return config(
        gpus,
        disk(machine.disk // 2**30),
        network_card(),
        extra=stamps(machine) | extra,
        cpus=machine.cpus,
        memory_mib=machine.memory.mib,
        memory_locked=bool(machine.gpu),
        annotation=f"Made by vdl for the lab {machine.lab}: {machine.name}",
    )


def test_a_clone_is_ours_from_the_first_call_on() -> None:
    one = action(**VGPU)
    spec = clone(one)
    extra = options(spec.config.extraConfig)
    assert spec.config.instanceUuid == UUID
    assert extra[STAMP_LAB] == "vroom"
    assert extra[STAMP_MACHINE] == "vroom-one-1"
    assert extra[STAMP_SPEC] == machine_of(one).digest
    assert Machine.model_validate_json(extra[STAMP_RESOLVED]) == one.spec
    assert "vroom-one-1" in spec.config.annotation


def test_a_clone_carries_all_that_the_call_can_carry() -> None:
    spec = clone(action(cpus=6, memory="24 GiB", **VGPU))
    assert (spec.config.numCPUs, spec.config.memoryMB) == (6, 24 * 1024)
    assert options(spec.config.extraConfig).items() >= (MMIO | guestinfo_of(VGPU)).items()
    assert (spec.location.pool, spec.location.host, spec.location.datastore) == (
        place().pool,
        place().host,
        place().datastore,
    )
    assert not spec.powerOn
    assert not spec.template


def guestinfo_of(group: dict[str, Any]) -> dict[str, str]:
    machine = machine_of(action(cpus=6, memory="24 GiB", **group))
    return guestinfo(machine, UUID)


def test_a_gpu_machine_reserves_its_memory_and_has_no_hot_add() -> None:
    made = clone(action(memory="24 GiB", **VGPU)).config
    assert made.memoryReservationLockedToMax is True
    assert made.memoryAllocation.reservation == 24 * 1024
    assert (made.cpuHotAddEnabled, made.memoryHotAddEnabled) == (False, False)


def test_a_machine_without_gpu_gets_none_of_that() -> None:
    made = clone(action()).config
    assert made.memoryReservationLockedToMax is None
    assert made.memoryAllocation is None
    assert made.cpuHotAddEnabled is None
    assert not [o for o in made.extraConfig if o.key.startswith("pciPassthru.")]


def test_no_clone_has_gpus_or_changes_firmware_or_disks() -> None:
    made = clone(action(disk="80 GiB", **VGPU)).config
    (change,) = made.deviceChange
    assert isinstance(change.device, vim.vm.device.VirtualEthernetCard)
    assert made.firmware is None


@pytest.mark.parametrize("kind", [vim.vm.device.VirtualVmxnet3, vim.vm.device.VirtualE1000e])
def test_the_templates_first_network_card_is_edited_in_place(kind: Any) -> None:
    template = config([], network_card(key=4001), network_card(kind, key=4000))
    (change,) = clone(action(), template).config.deviceChange
    assert change.operation == "edit"
    assert (type(change.device), change.device.key, change.device.unitNumber) == (kind, 4000, 7)
    assert change.device.backing.deviceName == "VM Network"
    assert change.device.connectable.startConnected


def test_a_template_without_a_network_card_gets_one() -> None:
    (change,) = clone(action(), config([], disk(40))).config.deviceChange
    assert change.operation == "add"
    assert isinstance(change.device, vim.vm.device.VirtualVmxnet3)
    assert change.device.key < 0


def test_a_distributed_port_group_is_named_by_switch_and_key() -> None:
    backing = configspec.network_backing(None, "", "50 0a", "dvportgroup-9")
    assert (backing.port.switchUuid, backing.port.portgroupKey) == ("50 0a", "dvportgroup-9")


OPAQUE = vim.vm.device.VirtualEthernetCard.OpaqueNetworkBackingInfo(
    opaqueNetworkId="segment-1", opaqueNetworkType="nsx.LogicalSwitch"
)
LAB_NETWORK = configspec.network_backing(vim.Network("network-1"), "lab")


@pytest.mark.parametrize(
    ("backing", "changed"),
    [
        (configspec.network_backing(vim.Network("network-1"), "lab"), False),
        (configspec.network_backing(vim.Network("network-2"), "office"), True),
        (configspec.network_backing(None, "", "switch-1", "dvportgroup-1"), True),
        # What vdl can't tell from the lab's network stays as somebody made it.
        (OPAQUE, False),
    ],
)
def test_a_card_on_another_network_is_brought_back(backing: Any, *, changed: bool) -> None:
    card = vim.vm.device.VirtualVmxnet3(key=4000, backing=backing)
    now = replace(finished(action()), devices=[disk(40), card])
    parts = configspec.Parts(CardFacts(), network=LAB_NETWORK)
    spec = configspec.reconfigure_spec(action(), now, parts)
    assert (spec is not None) is changed
    if spec is not None:
        (change,) = spec.deviceChange
        assert (change.operation, change.device.key) == ("edit", 4000)
        assert change.device.backing.network == vim.Network("network-1")


def test_attaching_adds_the_gpu_and_grows_the_disk_in_one_request() -> None:
    one = action(disk="60 GiB", **VGPU)
    spec = configspec.attach_spec(one, TEMPLATE, configspec.Parts(CardFacts()))
    grown, added = sorted(spec.deviceChange, key=lambda change: change.operation, reverse=True)
    assert (added.operation, added.device.backing.vgpu) == ("add", "grid_a100d-10c")
    assert (grown.operation, grown.device.key) == ("edit", 2000)
    assert grown.device.capacityInBytes == grown.device.capacityInKB * 1024 == 60 * 2**30


@pytest.mark.parametrize("size", ["40 GiB", "10 GiB"])
def test_a_disk_that_is_large_enough_stays(size: str) -> None:
    assert (
        configspec.attach_spec(action(disk=size), TEMPLATE, configspec.Parts(CardFacts())) is None
    )


@pytest.mark.parametrize("group", [VGPU, {}], ids=["with GPU", "without"])
def test_what_is_as_it_should_be_is_left_alone(group: dict[str, Any]) -> None:
    one = action(**group)
    assert reconfigure(one, finished(one)) is None


def test_only_what_differs_is_changed() -> None:
    one = action(cpus=6, memory="24 GiB", **VGPU)
    now = replace(finished(one), cpus=2, extra={**finished(one).extra, STAMP_SPEC: "old"})
    spec = reconfigure(one, now)
    assert (spec.numCPUs, spec.memoryMB) == (6, None)
    assert options(spec.extraConfig) == {STAMP_SPEC: machine_of(one).digest}
    assert not spec.deviceChange


def test_more_memory_is_reserved_too() -> None:
    one = action(memory="24 GiB", **VGPU)
    spec = reconfigure(one, replace(finished(one), memory_mib=1024))
    assert spec.memoryMB == spec.memoryAllocation.reservation == 24 * 1024


def test_a_machine_that_gets_a_gpu_gets_what_a_gpu_needs() -> None:
    one = action(**VGPU)
    spec = reconfigure(one, replace(finished(action()), cpu_hot_add=True, memory_hot_add=True))
    assert spec.memoryReservationLockedToMax is True
    assert (spec.cpuHotAddEnabled, spec.memoryHotAddEnabled) == (False, False)
    assert options(spec.extraConfig).items() >= MMIO.items()
    assert [change.operation for change in spec.deviceChange] == ["add"]


def test_a_machine_that_loses_its_gpu_gives_its_memory_free() -> None:
    spec = reconfigure(action(), finished(action(**VGPU)))
    assert spec.memoryReservationLockedToMax is False
    assert spec.memoryAllocation.reservation == 0
    assert [change.operation for change in spec.deviceChange] == ["remove"]


@pytest.mark.parametrize(
    ("gpu", "hardware"),
    [
        (None, 0),
        ({"vgpu": "grid_a100d-10c"}, 0),
        ({"passthrough": "esx-01/0000:3b:00.0"}, 0),
        ({"passthrough": "A100"}, 17),
        ({"group": "Nvidia:2@grid_a100d-80c%NVLink"}, 20),
    ],
)
def test_hardware_version_that_a_mode_needs(gpu: dict[str, Any] | None, hardware: int) -> None:
    assert configspec.hardware_needed(machine_of(action(gpu=gpu))) == hardware


def test_an_action_without_a_machine_builds_nothing() -> None:
    with pytest.raises(ValueError, match="no machine to build"):
        configspec.spec_of(Action(ActionKind.DESTROY, "vroom-one-1", ""))
