"""GPUs, devices, properties, clones, changes, events and tasks as govc sees them."""

from __future__ import annotations

import pytest

from provision.simulator.server import Simulator
from tests.contract.govccli import MMIO, Attempt, Govc, as_json

WHERE = ("-host", "esx-02", "-pool", "gpu/Resources")
FIRST, SECOND = "0000:3b:00.0", "0000:86:00.0"


@pytest.fixture
def mine(govc: Govc) -> str:
    """Clone a VM and return its name."""
    govc("vm.clone", "-vm", "u24", "-on=false", *WHERE, "mine")
    return "mine"


def _properties(govc: Govc, vm: str, *paths: str) -> list[str]:
    return govc("object.collect", "-s", f"vm/{vm}", *paths).splitlines()


def test_gpu_host_info_tells_the_pci_ids_of_each_card(govc: Govc) -> None:
    devices = as_json(govc, "gpu.host.info", "-host", "esx-01")["devices"]
    assert [(d["pciId"], d["bus"], d["slot"], d["function"]) for d in devices] == [
        (FIRST, 0x3B, 0, 0),
        (SECOND, 0x86, 0, 0),
    ]
    ids = {(d["vendorId"], d["deviceId"], d["classId"], d["deviceName"]) for d in devices}
    assert ids == {(0x10DE, 0x20B5, 0x0302, "NVIDIA A100 80GB")}


def test_gpu_vm_info_tells_the_vgpus_of_a_vm(govc: Govc, mine: str) -> None:
    assert as_json(govc, "gpu.vm.info", "-vm", mine)["gpus"] is None
    govc("gpu.vm.add", "-vm", mine, "-profile", "grid_a100d-10c")
    (gpu,) = as_json(govc, "gpu.vm.info", "-vm", mine)["gpus"]
    assert (gpu["key"], gpu["summary"]) == (13000, "NVIDIA vGPU grid_a100d-10c")
    govc("gpu.vm.remove", "-vm", mine)
    assert as_json(govc, "gpu.vm.info", "-vm", mine)["gpus"] is None


def test_a_card_is_passed_through_once_its_host_allows_it(
    govc: Govc, attempt: Attempt, world: Simulator, mine: str
) -> None:
    """Nothing is offered while the cards are shared, and by its address after the reboot."""
    assert as_json(govc, "device.pci.ls", "-vm", mine)["pciDevices"] is None
    refused = attempt("device.pci.add", "-vm", mine, FIRST)
    assert refused.returncode != 0
    assert FIRST in refused.stderr
    with world.world.lock:
        for card in world.host("esx-02").cards:
            card.enabled = True
            card.reboot()
    offered = as_json(govc, "device.pci.ls", "-vm", mine)["pciDevices"]
    assert [one["pciDevice"]["id"] for one in offered] == [FIRST, SECOND]
    govc("device.pci.add", "-vm", mine, SECOND)
    govc("vm.change", "-vm", mine, "-memory-pin=true", *MMIO)
    govc("vm.power", "-on", mine)
    devices = as_json(govc, "device.info", "-vm", mine)["devices"]
    (card,) = (d for d in devices if d["type"] == "VirtualPCIPassthrough")
    assert card["backing"]["id"] == SECOND
    assert [bool(card.holds) for card in world.host("esx-02").cards] == [False, True]


def test_a_card_that_another_vm_holds_is_refused_at_power_on(
    govc: Govc, attempt: Attempt, world: Simulator
) -> None:
    with world.world.lock:
        for card in world.host("esx-02").cards:
            card.enabled = True
            card.reboot()
    for name in ("first", "second"):
        govc("vm.clone", "-vm", "u24", "-on=false", *WHERE, name)
        govc("vm.change", "-vm", name, "-memory-pin=true", *MMIO)
        govc("device.pci.add", "-vm", name, FIRST)
    govc("vm.power", "-on", "first")
    refused = attempt("vm.power", "-on", "second")
    assert refused.returncode != 0
    assert FIRST in refused.stderr
    assert "first" in refused.stderr


def test_object_collect_reads_one_property_many_objects_and_parts(govc: Govc) -> None:
    paths = ("runtime.powerState", "config.hardware.numCPU", "config.template")
    assert _properties(govc, "old-job", *paths) == ["poweredOn", "2", "false"]
    lines = govc("object.collect", "-type", "m", "/", "name").splitlines()
    assert sorted(line.split()[-1] for line in lines) == ["old-job", "u24"]
    (answer,) = as_json(govc, "object.collect", "vm/old-job", "config.extraConfig")
    assert {o["key"] for o in answer["val"]["_value"]} > {"pciPassthru.use64bitMMIO"}


def test_object_collect_waits_for_a_value(govc: Govc) -> None:
    changed = govc("object.collect", "-n", "1", "vm/old-job", "-runtime.powerState", "poweredOn")
    assert "poweredOn" in changed


def test_vm_clone_takes_size_note_and_folder_along(govc: Govc) -> None:
    govc("folder.create", "/DC0/vm/lab")
    govc(
        "vm.clone", "-vm", "u24", "-on=false", *WHERE, "-c", "4", "-m", "8192",
        "-annotation", "a note", "-folder", "lab", "sized",
    )  # fmt: skip
    paths = ("config.hardware.numCPU", "config.hardware.memoryMB", "config.annotation")
    assert _properties(govc, "lab/sized", *paths) == ["4", "8192", "a note"]
    assert govc("find", "/DC0/vm/lab").split() == ["/DC0/vm/lab", "/DC0/vm/lab/sized"]


def test_vm_clone_refuses_a_name_that_is_taken(govc: Govc, attempt: Attempt, mine: str) -> None:
    refused = attempt("vm.clone", "-vm", "u24", "-on=false", *WHERE, mine)
    assert refused.returncode != 0
    assert "already exists" in refused.stderr
    assert govc("find", "/DC0/vm", "-name", mine).split() == [f"/DC0/vm/{mine}"]


def test_vm_change_sets_size_settings_and_name(govc: Govc, mine: str) -> None:
    govc("vm.change", "-vm", mine, "-c", "6", "-m", "16384", "-e", "vdl.lab=vroom")
    govc("vm.change", "-vm", mine, "-memory-pin=true", "-annotation", "changed")
    govc("vm.change", "-vm", mine, "-name", "renamed")
    paths = (
        "config.hardware.numCPU",
        "config.hardware.memoryMB",
        "config.memoryReservationLockedToMax",
        "config.annotation",
    )
    assert _properties(govc, "renamed", *paths) == ["6", "16384", "true", "changed"]
    assert "vroom" in govc("vm.info", "-e", "renamed")


def test_vm_change_refuses_cpus_of_a_running_vm(govc: Govc, attempt: Attempt) -> None:
    refused = attempt("vm.change", "-vm", "old-job", "-c", "8")
    assert refused.returncode != 0
    assert "CPU hot plug is not supported" in refused.stderr
    assert _properties(govc, "old-job", "config.hardware.numCPU") == ["2"]


def test_events_tell_a_vms_life(govc: Govc, mine: str) -> None:
    govc("vm.change", "-vm", mine, "-c", "4")
    govc("vm.power", "-on", mine)
    govc("vm.power", "-off", mine)
    govc("vm.destroy", mine)
    told = [line.partition("] ")[2] for line in govc("events", "-l").splitlines()]
    kinds = [line.split("[")[-1].partition("]")[0] for line in told]
    assert kinds == [
        "VmClonedEvent",
        "VmReconfiguredEvent",
        "VmPoweredOnEvent",
        "VmPoweredOffEvent",
        "VmRemovedEvent",
    ]


def test_events_are_told_of_one_object_or_kind(govc: Govc, mine: str) -> None:
    govc("vm.power", "-on", mine)
    govc("vm.power", "-off", "old-job")
    assert len(govc("events", "vm/old-job").splitlines()) == 1
    assert "old-job was powered off" in govc("events", "vm/old-job")
    on_host = govc("events", "host/gpu/esx-02").splitlines()
    assert len(on_host) == 2
    assert all(mine in line for line in on_host)
    assert "powered on" in govc("events", "-type", "VmPoweredOnEvent")
    assert len(govc("events", "-n", "1").splitlines()) == 1


def test_a_failed_task_is_an_event_with_its_reason(govc: Govc, attempt: Attempt) -> None:
    assert attempt("vm.power", "-on", "old-job").returncode != 0
    assert "current state (poweredOn)" in govc("events", "vm/old-job")


def test_tasks_tell_who_did_what_and_how_it_ended(govc: Govc, attempt: Attempt, mine: str) -> None:
    assert attempt("vm.power", "-off", mine).returncode != 0
    tasks = as_json(govc, "tasks")["tasks"]
    assert [(t["descriptionId"], t["entityName"], t["state"]) for t in tasks] == [
        ("VirtualMachine.clone", "u24", "success"),
        ("VirtualMachine.powerOff", mine, "error"),
    ]
    assert {t["reason"]["userName"] for t in tasks} == {"administrator@vsphere.local"}
    (of_vm,) = as_json(govc, "tasks", f"vm/{mine}")["tasks"]
    assert of_vm["error"]["fault"]["existingState"] == "poweredOff"
