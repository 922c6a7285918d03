"""Reconfiguration: devices, disks, networks, settings, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import vim, vmodl

from tests.unit.simulator.administrator import (
    Administrator,
    Passthrough,
    add,
    by_model,
    edit,
    gpus,
    option,
    remove,
    settings,
    the,
    vgpu,
)
from tests.unit.simulator.worlds import TEMPLATES

WORLD = TEMPLATES


def test_devices_added_with_equal_keys_are_refused(admin: Administrator) -> None:
    vm = admin.clone("mine")
    twice = [add(vgpu("grid_a100d-10c")), add(vgpu("grid_a100d-10c"))]
    with pytest.raises(vim.fault.InvalidDeviceSpec, match="Two added devices"):
        admin.reconfigure(vm, deviceChange=twice)
    admin.reconfigure(
        vm, deviceChange=[add(vgpu("grid_a100d-10c"), -1), add(vgpu("grid_a100d-10c"), -2)]
    )
    assert [gpu.key for gpu in gpus(vm)] == [13000, 13001]
    assert [gpu.deviceInfo.summary for gpu in gpus(vm)] == ["NVIDIA vGPU grid_a100d-10c"] * 2


def test_devices_can_be_changed_and_removed(admin: Administrator) -> None:
    vm = admin.clone("mine", deviceChange=[add(vgpu("grid_a100d-10c"))])
    (device,) = gpus(vm)
    device.backing.vgpu = "grid_a100d-20c"
    admin.reconfigure(vm, deviceChange=[edit(device)])
    assert gpus(vm)[0].backing.vgpu == "grid_a100d-20c"
    admin.reconfigure(vm, deviceChange=[remove(device)])
    assert gpus(vm) == []
    with pytest.raises(vim.fault.DeviceNotFound):
        admin.reconfigure(vm, deviceChange=[remove(device)])


def test_every_kind_of_backing_is_kept(admin: Administrator) -> None:
    backings = [
        Passthrough.DeviceBackingInfo(
            id="0000:3b:00.0", deviceId="0x20b5", systemId="x", vendorId=0x10DE, deviceName="GPU"
        ),
        Passthrough.DynamicBackingInfo(
            allowedDevice=[Passthrough.AllowedDevice(vendorId=0x10DE, deviceId=0x20B5)]
        ),
        Passthrough.VmiopBackingInfo(vgpu="grid_a100d-10c"),
        Passthrough.PluginBackingInfo(),
        Passthrough.DvxBackingInfo(deviceClass="maker"),
    ]
    changes = [add(Passthrough(backing=b), -1 - n) for n, b in enumerate(backings)]
    vm = admin.clone("mine", deviceChange=changes)
    assert [type(gpu.backing) for gpu in gpus(vm)] == [type(b) for b in backings]
    assert gpus(vm)[1].backing.assignedId is None


def test_dynamic_directpath_needs_hardware_version_17(admin: Administrator) -> None:
    spec = vim.vm.CloneSpec(location=vim.vm.RelocateSpec(pool=admin.cluster.resourcePool))
    task = admin.vm("old").CloneVM_Task(folder=admin.at("DC0/vm"), name="mine", spec=spec)
    vm = admin.wait(task)
    with pytest.raises(vim.fault.DeviceUnsupportedForVmVersion) as refused:
        admin.reconfigure(vm, deviceChange=[add(by_model(0x20B5))])
    assert (refused.value.currentVersion, refused.value.expectedVersion) == ("vmx-14", "vmx-17")
    admin.wait(vm.UpgradeVM_Task("vmx-17"))
    admin.reconfigure(vm, deviceChange=[add(by_model(0x20B5))])
    with pytest.raises(vim.fault.AlreadyUpgraded):
        admin.wait(vm.UpgradeVM_Task("vmx-17"))
    admin.wait(vm.UpgradeVM_Task())
    assert vm.config.version == "vmx-21"


def test_too_many_vgpus_are_refused(admin: Administrator) -> None:
    changes = [add(vgpu("grid_a100d-4c"), -1 - n) for n in range(17)]
    with pytest.raises(vim.fault.TooManyDevices, match="16 vGPUs"):
        admin.clone("mine", deviceChange=changes)


def group(name: str, members: int) -> tuple[list[Any], Any]:
    changes = []
    for n in range(members):
        device = vgpu("grid_a100d-80c")
        device.deviceGroupInfo = vim.vm.device.VirtualDevice.DeviceGroupInfo(
            groupInstanceKey=-7, sequenceId=n
        )
        changes.append(add(device, -1 - n))
    entry = vim.vm.VirtualDeviceGroups.VendorDeviceGroup(groupInstanceKey=-7, deviceGroupName=name)
    return changes, vim.vm.VirtualDeviceGroups(deviceGroup=[entry])


def test_a_device_group_comes_with_all_its_members(admin: Administrator) -> None:
    name = "Nvidia:2@grid_a100d-80c%NVLink"
    vm = admin.clone("mine")
    changes, groups = group(name, 1)
    with pytest.raises(vim.fault.InvalidDeviceSpec, match="has 2 members, not 1"):
        admin.reconfigure(vm, deviceChange=changes, deviceGroups=groups)
    changes, groups = group(name, 2)
    with pytest.raises(vim.fault.InvalidDeviceSpec, match="no device group"):
        admin.reconfigure(vm, deviceChange=changes)
    admin.reconfigure(vm, deviceChange=changes, deviceGroups=groups)
    (entry,) = vm.config.deviceGroups.deviceGroup
    assert entry.deviceGroupName == name
    assert [g.deviceGroupInfo.groupInstanceKey for g in gpus(vm)] == [entry.groupInstanceKey] * 2
    assert entry.groupInstanceKey > 0
    admin.reconfigure(vm, deviceChange=[remove(g) for g in gpus(vm)])
    assert vm.config.deviceGroups is None


def test_disks_only_grow_and_take_room_on_the_datastore(admin: Administrator) -> None:
    vm, store = admin.clone("mine"), admin.at("DC0/datastore/vsan")
    free = store.summary.freeSpace
    disk = the(vim.vm.device.VirtualDisk, vm)
    disk.capacityInKB = 60 * 2**20
    admin.reconfigure(vm, deviceChange=[edit(disk)])
    grown = the(vim.vm.device.VirtualDisk, vm)
    assert grown.capacityInBytes == 60 * 2**30
    assert free - store.summary.freeSpace == 20 * 2**30
    grown.capacityInBytes = 10 * 2**30
    with pytest.raises(vim.fault.InvalidDeviceSpec, match="can't shrink"):
        admin.reconfigure(vm, deviceChange=[edit(grown)])
    grown.capacityInBytes = 100 * 2**40
    with pytest.raises(vim.fault.NoDiskSpace):
        admin.reconfigure(vm, deviceChange=[edit(grown)])
    admin.wait(vm.Destroy_Task())
    assert store.summary.freeSpace == free + 40 * 2**30


def test_a_network_card_moves_to_another_network(admin: Administrator) -> None:
    vm, network = admin.clone("mine"), admin.at("DC0/network/storage")
    card = the(vim.vm.device.VirtualEthernetCard, vm)
    card.backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="storage")
    admin.reconfigure(vm, deviceChange=[edit(card)])
    assert list(vm.network) == [network]
    assert list(network.vm) == [vm]
    card.backing.deviceName = "nowhere"
    with pytest.raises(vim.fault.InvalidDeviceBacking, match="nowhere"):
        admin.reconfigure(vm, deviceChange=[edit(card)])


def test_settings_are_merged_and_an_empty_value_deletes(admin: Administrator) -> None:
    vm = admin.clone("mine", extraConfig=[option("a", "1"), option("b", "2")])
    admin.reconfigure(vm, extraConfig=[option("a", ""), option("c", "3")])
    assert settings(vm) == {"from": "template", "b": "2", "c": "3"}


def test_a_change_version_guards_against_somebody_elses_change(admin: Administrator) -> None:
    vm = admin.clone("mine")
    version = vm.config.changeVersion
    admin.reconfigure(vm, changeVersion=version, annotation="first")
    assert vm.config.changeVersion != version
    with pytest.raises(vim.fault.ConcurrentAccess):
        admin.reconfigure(vm, changeVersion=version, annotation="second")
    assert vm.config.annotation == "first"


@pytest.mark.parametrize(
    "config",
    [
        {"numCPUs": 1000},
        {"memoryMB": 1023},
        {"version": "vmx-99"},
        {"version": "nineteen"},
        {"firmware": "openboot"},
        {"instanceUuid": "none"},
        {"memoryAllocation": vim.ResourceAllocationInfo(reservation=8192)},
    ],
    ids=lambda config: next(iter(config)),
)
def test_values_that_make_no_sense_are_refused(
    admin: Administrator, config: dict[str, Any]
) -> None:
    with pytest.raises(vmodl.fault.InvalidArgument):
        admin.clone("mine", **config)
    assert admin.vm("mine") is None


@pytest.mark.parametrize(
    ("config", "refusal"),
    [
        ({"numCPUs": 8}, vim.fault.CpuHotPlugNotSupported),
        ({"memoryMB": 8192}, vim.fault.MemoryHotPlugNotSupported),
        ({"firmware": "bios"}, vim.fault.InvalidPowerState),
    ],
    ids=["cpus", "memory", "firmware"],
)
def test_what_needs_the_power_off_is_refused_while_it_is_on(
    admin: Administrator, config: dict[str, Any], refusal: type[Exception]
) -> None:
    vm = admin.clone("mine")
    admin.power_on(vm)
    with pytest.raises(refusal):
        admin.reconfigure(vm, **config)
    with pytest.raises(vim.fault.InvalidPowerState):
        admin.reconfigure(vm, deviceChange=[add(vgpu("grid_a100d-10c"))])
    admin.reconfigure(vm, extraConfig=[option("a", "1")])
