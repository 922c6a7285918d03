"""What a host asks of a VM with GPUs at power-on: each file of tests/data is a case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from provision.simulator.marked import Document
from tests.conftest import MakeSimulator
from tests.unit.simulator.administrator import (
    Administrator,
    add,
    by_address,
    by_model,
    mmio,
    pinned,
    vgpu,
)

CASES = sorted((Path(__file__).parents[2] / "data" / "simulator" / "power_on").glob("*.yaml"))
ENOUGH_MMIO_GB = 256


def world(case: dict[str, Any]) -> dict[str, Any]:
    cluster = {"hosts": {"esx-01": case["host"]}, "vms": case.get("vms", {})}
    return {"DC0": {"templates": {"u24": case.get("template", {})}, "clusters": {"gpu": cluster}}}


def devices(admin: Administrator, gpu: dict[str, Any]) -> list[Any]:
    host = admin.host("esx-01")
    if "vgpu" in gpu or "vgpus" in gpu:
        return [vgpu(name) for name in gpu.get("vgpus", [gpu.get("vgpu")])]
    if "model" in gpu:
        return [by_model(gpu["model"], gpu.get("label")) for _ in range(gpu.get("count", 1))]
    if "pinned" in gpu:
        return [pinned(gpu["pinned"], 0x20B5, gpu.get("system", host.hardware.systemInfo.uuid))]
    return [by_address(host, gpu["address"])]


def machine(admin: Administrator, name: str, step: dict[str, Any]) -> Any:
    config = {"memoryMB": 8192, "memoryReservationLockedToMax": True, **step.get("config", {})}
    size = step.get("mmio", ENOUGH_MMIO_GB)
    if "reservation_mb" in step:
        config["memoryAllocation"] = vim.ResourceAllocationInfo(reservation=step["reservation_mb"])
    vm = admin.clone(name, extraConfig=mmio(size) if size else [], **config)
    added = devices(admin, step["gpu"])
    changes = [add(device, key=-1 - n) for n, device in enumerate(added)]
    admin.reconfigure(vm, deviceChange=changes, deviceGroups=grouped(step["gpu"], added))
    return vm


def grouped(gpu: dict[str, Any], members: list[Any]) -> Any:
    if "group" not in gpu:
        return None
    for number, device in enumerate(members):
        device.deviceGroupInfo = vim.vm.device.VirtualDevice.DeviceGroupInfo(
            groupInstanceKey=-1, sequenceId=number
        )
    entry = vim.vm.VirtualDeviceGroups.VendorDeviceGroup(
        groupInstanceKey=-1, deviceGroupName=gpu["group"]
    )
    return vim.vm.VirtualDeviceGroups(deviceGroup=[entry])


def held(admin: Administrator, vm: Any) -> set[str]:
    return {card.pciId for card in admin.host("esx-01").config.graphicsInfo if vm in card.vm}


@pytest.mark.parametrize("case_file", CASES, ids=lambda path: path.stem)
def test_power_on(case_file: Path, in_process: MakeSimulator) -> None:
    case = Document(case_file.read_text(encoding="utf-8")).data
    admin = Administrator(in_process(world(case)))
    for number, step in enumerate(case["steps"]):
        if "off" in step:
            admin.wait(admin.vm(step["off"]).PowerOffVM_Task())
            continue
        vm = machine(admin, f"machine-{number}", step)
        if "fault" in step:
            assert_refused(admin, vm, step)
        else:
            admin.power_on(vm)
            assert vm.runtime.powerState == "poweredOn"
            cards = held(admin, vm)
            assert cards == {step["card"]} if "card" in step else cards


def assert_refused(admin: Administrator, vm: Any, step: dict[str, Any]) -> None:
    with pytest.raises(vmodl.MethodFault) as refused:
        admin.power_on(vm)
    assert type(refused.value).__name__.rpartition(".")[2] == step["fault"]
    for part in step.get("says", ()):
        assert part in refused.value.msg
        assert part in refused.value.faultMessage[0].message
    assert vm.runtime.powerState == "poweredOff"
    assert not held(admin, vm)
