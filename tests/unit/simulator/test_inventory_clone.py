"""Clones, reconfiguration, and how VMs come and go."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import vim, vmodl

from provision.simulator.engine.clock import ManualClock
from provision.simulator.server import Simulator
from tests.conftest import MakeSimulator
from tests.unit.simulator.administrator import (
    Administrator,
    Passthrough,
    add,
    by_model,
    option,
    vgpu,
)

UUID = "6f0d4f0e-0000-4000-8000-000000000001"
WORLD = """
DC0:
  templates:
    u24: {memory: 4 GiB, disk: 40 GiB, hardware: 19, extra: {from: template}}
    old: {hardware: 14}
  clusters:
    gpu:
      hosts:
        esx-01: {memory: 256 GiB, cards: {count: 2, model: A100-80}}
        esx-02: {memory: 512 GiB}
        esx-03: {connection: disconnected}
        esx-04: {datastores: [small]}
    other: {hosts: {esx-09: {}}}
  datastores: {vsan: 1 TiB, small: 30 GiB}
  networks: [VM Network, storage]
"""


@pytest.fixture
def simulator_(in_process: MakeSimulator) -> Simulator:
    return in_process(WORLD)


@pytest.fixture
def admin(simulator_: Simulator) -> Administrator:
    return Administrator(simulator_)


def edit(device: Any) -> Any:
    return vim.vm.device.VirtualDeviceSpec(operation="edit", device=device)


def remove(device: Any) -> Any:
    return vim.vm.device.VirtualDeviceSpec(operation="remove", device=device)


def settings(vm: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in vm.config.extraConfig}


def gpus(vm: Any) -> list[Any]:
    return [d for d in vm.config.hardware.device if isinstance(d, Passthrough)]


def the(kind: type[Any], vm: Any) -> Any:
    (found,) = (d for d in vm.config.hardware.device if isinstance(d, kind))
    return found


def test_a_clone_carries_everything_that_its_spec_says(admin: Administrator) -> None:
    vm = admin.clone(
        "mine",
        numCPUs=8,
        memoryMB=32768,
        memoryReservationLockedToMax=True,
        cpuHotAddEnabled=False,
        instanceUuid=UUID,
        annotation="hello",
        extraConfig=[option("vdl.lab", "vroom"), option("from", "")],
        deviceChange=[add(vgpu("grid_a100d-10c"))],
        latencySensitivity=vim.LatencySensitivity(level="high"),
    )
    config = vm.config
    assert (config.hardware.numCPU, config.hardware.memoryMB) == (8, 32768)
    assert config.memoryReservationLockedToMax
    assert config.memoryAllocation.reservation == 32768
    assert (config.firmware, config.version, config.annotation) == ("efi", "vmx-19", "hello")
    assert config.latencySensitivity.level == "high"
    assert settings(vm) == {"vdl.lab": "vroom"}
    assert [gpu.key for gpu in gpus(vm)] == [13000]
    assert vm.runtime.host == admin.host("esx-01")
    assert vm.resourcePool == admin.cluster.resourcePool
    assert admin.content.searchIndex.FindByUuid(None, UUID, True, True) == vm  # noqa: FBT003 - pyVmomi takes them by position
    assert vm.summary.config.numVmiopBackings == 1


def test_a_clone_is_its_own_machine(admin: Administrator) -> None:
    first, second = admin.clone("first"), admin.clone("second")
    for path in ("uuid", "instanceUuid"):
        assert getattr(first.config, path) != getattr(second.config, path)
    macs = {the(vim.vm.device.VirtualEthernetCard, vm).macAddress for vm in (first, second)}
    assert len(macs) == 2
    disk = the(vim.vm.device.VirtualDisk, first)
    assert disk.backing.fileName == "[vsan] first/first.vmdk"
    admin.reconfigure(first, extraConfig=[option("only", "first")])
    assert "only" not in settings(second)


def test_without_a_host_the_one_with_most_memory_is_taken(admin: Administrator) -> None:
    # esx-03 and esx-04 have the default of 1 TiB, but are away and without the datastore.
    assert admin.clone("mine", host=None).runtime.host == admin.host("esx-02")


def test_a_taken_name_is_refused_even_while_the_first_clone_runs(
    in_process: MakeSimulator,
) -> None:
    clock = ManualClock()
    simulator = in_process(f"latency: {{CloneVM_Task: 10 s}}\n{WORLD}", clock=clock)
    admin = Administrator(simulator)
    spec = vim.vm.CloneSpec(
        location=vim.vm.RelocateSpec(pool=admin.cluster.resourcePool, host=admin.host("esx-01")),
        config=vim.vm.ConfigSpec(instanceUuid=UUID),
    )
    folder, template = admin.at("DC0/vm"), admin.vm("u24")
    first = template.CloneVM_Task(folder=folder, name="mine", spec=spec)
    second = template.CloneVM_Task(folder=folder, name="mine", spec=spec)
    assert isinstance(second.info.error, vim.fault.DuplicateName)
    # What is being made is there by name, but has no configuration and no UUID yet.
    assert admin.vm("mine").config is None
    assert simulator.inventory.by_instance_uuid.get(UUID) is None
    clock.advance(10)
    assert first.info.state == "success"
    assert admin.vm("mine").config.instanceUuid == UUID


def test_a_clone_that_fails_leaves_nothing_behind(
    simulator_: Simulator, admin: Administrator
) -> None:
    free = admin.at("DC0/datastore/vsan").summary.freeSpace
    simulator_.fault({"on": "CloneVM_Task", "fault": "NoDiskSpace"})
    with pytest.raises(vim.fault.NoDiskSpace):
        admin.clone("mine")
    assert admin.vm("mine") is None
    assert admin.at("DC0/datastore/vsan").summary.freeSpace == free
    assert len(admin.host("esx-01").vm) == 2


def test_a_full_datastore_is_refused(admin: Administrator) -> None:
    small = admin.at("DC0/datastore/small")
    location = vim.vm.RelocateSpec(pool=admin.cluster.resourcePool, datastore=small)
    task = admin.vm("u24").CloneVM_Task(
        folder=admin.at("DC0/vm"), name="mine", spec=vim.vm.CloneSpec(location=location)
    )
    with pytest.raises(vim.fault.NoDiskSpace, match="datastore 'small': 40960 MiB"):
        admin.wait(task)


@pytest.mark.parametrize(
    ("location", "fault"),
    [
        ({}, vmodl.fault.InvalidArgument),
        ({"pool": "gpu", "host": "other/esx-09"}, vmodl.fault.InvalidArgument),
        ({"pool": "gpu", "host": "gpu/esx-03"}, vmodl.fault.HostNotConnected),
        ({"pool": "gpu", "host": "gpu/esx-04"}, vim.fault.InvalidDatastore),
    ],
    ids=["no-pool", "host-of-another-cluster", "disconnected-host", "datastore-not-mounted"],
)
def test_a_place_that_makes_no_sense_is_refused(
    admin: Administrator, location: dict[str, str], fault: type[Exception]
) -> None:
    where = vim.vm.RelocateSpec()
    if "pool" in location:
        where.pool = admin.at(f"DC0/host/{location['pool']}").resourcePool
    if "host" in location:
        where.host = admin.at(f"DC0/host/{location['host']}")
    spec = vim.vm.CloneSpec(location=where)
    task = admin.vm("u24").CloneVM_Task(folder=admin.at("DC0/vm"), name="mine", spec=spec)
    with pytest.raises(fault):
        admin.wait(task)


def test_an_instance_uuid_that_is_taken_is_replaced(admin: Administrator) -> None:
    first, second = (
        admin.clone("first", instanceUuid=UUID),
        admin.clone("second", instanceUuid=UUID),
    )
    assert first.config.instanceUuid == UUID
    assert second.config.instanceUuid != UUID


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
    "config", [{"numCPUs": 8}, {"memoryMB": 8192}, {"firmware": "bios"}], ids=str
)
def test_what_needs_the_power_off_is_refused_while_it_is_on(
    admin: Administrator, config: dict[str, Any]
) -> None:
    vm = admin.clone("mine")
    admin.power_on(vm)
    with pytest.raises(vim.fault.InvalidPowerState):
        admin.reconfigure(vm, **config)
    with pytest.raises(vim.fault.InvalidPowerState):
        admin.reconfigure(vm, deviceChange=[add(vgpu("grid_a100d-10c"))])
    admin.reconfigure(vm, extraConfig=[option("a", "1")])


def test_templates_and_vms_turn_into_each_other(admin: Administrator) -> None:
    vm = admin.clone("mine")
    vm.MarkAsTemplate()
    assert vm.config.template
    assert vm.resourcePool is None
    with pytest.raises(vmodl.fault.NotSupported):
        admin.power_on(vm)
    vm.MarkAsVirtualMachine(pool=admin.cluster.resourcePool, host=admin.host("esx-02"))
    assert vm.runtime.host == admin.host("esx-02")
    admin.power_on(vm)


def test_names_are_unique_in_their_folder_only(admin: Administrator) -> None:
    first, second = admin.clone("first"), admin.clone("second")
    with pytest.raises(vim.fault.DuplicateName):
        admin.wait(first.Rename_Task("second"))
    folder = admin.at("DC0/vm").CreateFolder("lab")
    admin.wait(folder.MoveIntoFolder_Task([first]))
    admin.wait(first.Rename_Task("second"))
    assert admin.at("DC0/vm/lab/second") == first
    assert admin.at("DC0/vm/second") == second
    with pytest.raises(vim.fault.DuplicateName):
        admin.at("DC0/vm").CreateFolder("lab")
    admin.wait(folder.Destroy_Task())
    assert admin.at("DC0/vm/lab") is None


def test_a_vm_can_be_made_from_nothing(admin: Administrator) -> None:
    disk = vim.vm.device.VirtualDisk(capacityInKB=10 * 2**20, controllerKey=-101, unitNumber=0)
    scsi = vim.vm.device.ParaVirtualSCSIController(busNumber=0, sharedBus="noSharing")
    spec = vim.vm.ConfigSpec(
        name="fresh",
        numCPUs=2,
        memoryMB=2048,
        firmware="efi",
        files=vim.vm.FileInfo(vmPathName="[vsan]"),
        deviceChange=[add(scsi, -101), add(disk, -102)],
    )
    pool, folder = admin.cluster.resourcePool, admin.at("DC0/vm")
    vm = admin.wait(folder.CreateVM_Task(config=spec, pool=pool, host=admin.host("esx-01")))
    assert vm.config.firmware == "efi"
    made = the(vim.vm.device.VirtualDisk, vm)
    assert (made.capacityInBytes, made.controllerKey) == (10 * 2**30, 1000)
    assert vm.summary.config.numEthernetCards == 0
