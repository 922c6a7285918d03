"""vCenter's own checks say what the operations would, and change nothing."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import vim, vmodl

from tests.conftest import MakeSimulator
from tests.unit.simulator.administrator import Administrator, add, by_model, mmio, vgpu

WORLD = """
vcenter:
  users:
    administrator@vsphere.local: simulated
    clerk: {password: simulated, privileges: [System.View, System.Read]}
DC0:
  templates: {u24: {hardware: 19, disk: 40 GiB}}
  clusters:
    gpu:
      hosts:
        esx-01: {memory: 64 GiB, cards: {count: 1, model: A100-80}, datastores: [big, full]}
        esx-02: {cards: {model: A100-80, mode: passthrough}, networks: [other], datastores: [big]}
        esx-03: {maintenance: true, datastores: [big]}
      vms:
        job: {host: esx-01, memory: 32 GiB, power: "on", gpu: {vgpu: grid_a100d-40c}}
        idle: {host: esx-01, memory: 48 GiB, gpu: {vgpu: grid_a100d-40c}, extra: {x: "y"}}
  datastores: {big: 20 TiB, full: 10 GiB}
  networks: [VM Network, other]
"""


@pytest.fixture
def admin(in_process: MakeSimulator) -> Administrator:
    return Administrator(in_process(WORLD))


def words(admin: Administrator, task: Any) -> dict[str, list[str]]:
    """Return the errors of each host, `~` before warnings."""
    names = {str(admin.host(f"esx-0{n}")): f"esx-0{n}" for n in (1, 2, 3)}
    return {
        names[str(result.host)]: [
            *(type(fault).__name__.rpartition(".")[2] for fault in result.error or ()),
            *(f"~{type(fault).__name__.rpartition('.')[2]}" for fault in result.warning or ()),
        ]
        for result in admin.wait(task)
    }


def gpu_config(*changes: Any, locked: bool = True) -> Any:
    return vim.vm.ConfigSpec(
        memoryReservationLockedToMax=locked, extraConfig=mmio(256), deviceChange=list(changes)
    )


def check_clone(
    admin: Administrator, name: str = "new", host: str | None = "esx-01", store: str = "big"
) -> Any:
    location = vim.vm.RelocateSpec(
        pool=admin.cluster.resourcePool,
        host=admin.host(host) if host else None,
        datastore=admin.at(f"DC0/datastore/{store}"),
    )
    return admin.content.vmProvisioningChecker.CheckClone_Task(
        vm=admin.vm("u24"),
        folder=admin.at("DC0/vm"),
        name=name,
        spec=vim.vm.CloneSpec(location=location, config=vim.vm.ConfigSpec(numCPUs=8)),
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, {"esx-01": []}),
        ({"host": None}, {"esx-01": [], "esx-02": ["~CannotAccessNetwork"]}),
        ({"name": "job"}, {"esx-01": ["DuplicateName"]}),
        ({"store": "full"}, {"esx-01": ["NoDiskSpace"]}),
        ({"store": "full", "host": "esx-02"}, {"esx-02": ["InvalidDatastore"]}),
        ({"host": "esx-03"}, {"esx-03": ["InvalidHostState"]}),
    ],
    ids=str,
)
def test_a_clone_is_checked_and_not_made(
    admin: Administrator, arguments: dict[str, Any], said: dict[str, list[str]]
) -> None:
    free = admin.at("DC0/datastore/big").summary.freeSpace
    assert words(admin, check_clone(admin, **arguments)) == said
    assert admin.vm("new") is None
    assert admin.at("DC0/datastore/big").summary.freeSpace == free


def test_what_a_user_may_not_clone_is_said(in_process: MakeSimulator) -> None:
    simulator = in_process(WORLD)
    clerk = vim.ServiceInstance("ServiceInstance", simulator.stub()).RetrieveContent()
    clerk.sessionManager.Login("clerk", "simulated")
    admin = Administrator(simulator)
    admin.content = clerk
    assert words(admin, check_clone(admin)) == {"esx-01": ["NoPermission"]}


@pytest.mark.parametrize(
    ("spec", "host", "said"),
    [
        (gpu_config(add(vgpu("grid_a100d-40c"))), "esx-01", []),
        (gpu_config(add(vgpu("grid_a100d-80c"))), "esx-01", []),
        (gpu_config(add(vgpu("grid_t4-8c"))), "esx-01", ["InsufficientGraphicsResourcesFault"]),
        (gpu_config(add(vgpu("grid_a100d-40c")), locked=False), "esx-01", ["GenericVmConfigFault"]),
        (gpu_config(add(by_model(0x20B5))), "esx-01", ["InsufficientResourcesFault"]),
        (gpu_config(add(by_model(0x20B5))), "esx-02", ["~CannotAccessNetwork"]),
        (vim.vm.ConfigSpec(numCPUs=100_000), "esx-01", ["InvalidArgument"]),
        (vim.vm.ConfigSpec(), "esx-03", ["InvalidHostState"]),
    ],
)
def test_a_configuration_is_checked_against_an_empty_host(
    admin: Administrator, spec: Any, host: str, said: list[str]
) -> None:
    task = admin.content.vmCompatibilityChecker.CheckVmConfig_Task(
        spec=spec, vm=admin.vm("u24"), host=admin.host(host)
    )
    assert words(admin, task) == {host: said}
    assert not admin.vm("u24").config.memoryReservationLockedToMax


def test_a_power_on_is_checked_as_things_are_now(admin: Administrator) -> None:
    checker, idle = admin.content.vmCompatibilityChecker, admin.vm("idle")
    home = admin.host("esx-01")
    assert words(admin, checker.CheckPowerOn_Task(vm=idle, host=home)) == {
        "esx-01": ["InsufficientHostMemoryCapacityFault"]
    }
    admin.wait(admin.vm("job").PowerOffVM_Task())
    assert words(admin, checker.CheckPowerOn_Task(vm=idle, host=home)) == {"esx-01": []}
    everywhere = checker.CheckPowerOn_Task(vm=idle, pool=admin.cluster.resourcePool)
    assert words(admin, everywhere) == {
        "esx-01": [],
        "esx-02": ["InsufficientGraphicsResourcesFault"],
    }
    assert idle.runtime.powerState == "poweredOff"
    admin.power_on(idle)
    assert (
        words(admin, checker.CheckPowerOn_Task(vm=idle, host=home))["esx-01"][0]
        == "InvalidPowerState"
    )


def test_compatibility_is_asked_of_each_host_of_the_pool(admin: Administrator) -> None:
    task = admin.content.vmCompatibilityChecker.CheckCompatibility_Task(
        vm=admin.vm("u24"), pool=admin.cluster.resourcePool
    )
    assert words(admin, task) == {"esx-01": [], "esx-02": ["~CannotAccessNetwork"]}


def test_a_template_needs_a_host_or_a_pool(admin: Administrator) -> None:
    checker = admin.content.vmCompatibilityChecker
    with pytest.raises(vmodl.fault.InvalidArgument):
        checker.CheckCompatibility_Task(vm=admin.vm("u24"))
    with pytest.raises(vmodl.fault.InvalidArgument):  # and a VM, where its power-on is asked about
        checker.CheckPowerOn_Task(vm=admin.vm("idle"))


def new_vm(*changes: Any) -> Any:
    disk = vim.vm.device.VirtualDisk(capacityInKB=2**20, controllerKey=-9)
    disk.backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(diskMode="persistent", fileName="")
    bus = vim.vm.device.ParaVirtualSCSIController(busNumber=0, sharedBus="noSharing")
    spec = gpu_config(add(bus, -9), add(disk, -8), *changes)
    spec.name, spec.numCPUs, spec.memoryMB, spec.firmware = "placed", 4, 8192, "efi"
    return spec


def place(admin: Administrator, **spec: Any) -> Any:
    return admin.cluster.PlaceVm(vim.cluster.PlacementSpec(**spec))


def recommended(answer: Any) -> list[str]:
    return [r.action[0].targetHost.name for r in answer.recommendations]


def test_drs_places_a_vm_where_a_card_is_free(admin: Administrator) -> None:
    shared = place(admin, placementType="create", configSpec=new_vm(add(vgpu("grid_a100d-40c"))))
    assert recommended(shared) == ["esx-01"]
    assert shared.recommendations[0].rating == 5
    direct = place(admin, placementType="create", configSpec=new_vm(add(by_model(0x20B5))))
    assert recommended(direct) == ["esx-02"]
    nowhere = place(admin, placementType="create", configSpec=new_vm(add(vgpu("grid_a100d-80c"))))
    assert recommended(nowhere) == []
    assert len(nowhere.drsFault.faultsByVm) == 3


def test_drs_places_clones_and_vms_that_exist(admin: Administrator) -> None:
    location = vim.vm.RelocateSpec(datastore=admin.at("DC0/datastore/big"))
    spec = vim.vm.CloneSpec(location=location, config=vim.vm.ConfigSpec(memoryMB=2**17))
    answer = place(
        admin, placementType="clone", vm=admin.vm("u24"), cloneSpec=spec, cloneName="copy"
    )
    assert recommended(answer) == ["esx-01"]
    assert recommended(place(admin, placementType="reconfigure", vm=admin.vm("idle"))) == []


@pytest.mark.parametrize(
    "spec",
    [
        {"placementType": "create"},
        {"placementType": "create", "configSpec": vim.vm.ConfigSpec(name="x")},
        {"placementType": "create", "configSpec": new_vm(add(vgpu("grid_a100d-40c"), 0))},
        {"placementType": "clone"},
    ],
    ids=["nothing", "no disk", "key 0", "no vm"],
)
def test_drs_must_be_told_what_to_place(admin: Administrator, spec: dict[str, Any]) -> None:
    with pytest.raises(vmodl.fault.InvalidArgument):
        place(admin, **spec)
