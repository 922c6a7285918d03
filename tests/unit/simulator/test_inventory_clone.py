"""Clones, and how VMs come and go."""

from __future__ import annotations

import pytest
from pyVmomi import vim, vmodl

from provision.simulator.engine.clock import ManualClock
from provision.simulator.server import Simulator
from tests.conftest import MakeSimulator
from tests.unit.simulator.administrator import Administrator, add, gpus, option, settings, the, vgpu
from tests.unit.simulator.worlds import TEMPLATES as WORLD

UUID = "6f0d4f0e-0000-4000-8000-000000000001"


@pytest.fixture
def simulator_(in_process: MakeSimulator) -> Simulator:
    return in_process(WORLD)


@pytest.fixture
def admin(simulator_: Simulator) -> Administrator:
    return Administrator(simulator_)


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
