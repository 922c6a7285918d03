"""Devices of VMs, written as short texts in the tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyVmomi import vim

from provision.gpu.catalogue import NVIDIA
from provision.vsphere.devices import VmConfig, gpu_devices

Passthrough = vim.vm.device.VirtualPCIPassthrough
GROUP_INSTANCE = 1
INTEL = 0x8086


def device(text: str, key: int) -> Any:
    """Return the device that `KIND VALUE` stands for."""
    kind, _, value = text.partition(" ")
    made = Passthrough(key=key, backing=_backing(kind, value.strip('"')))
    if kind == "group":
        made.deviceGroupInfo = vim.vm.device.VirtualDevice.DeviceGroupInfo(
            groupInstanceKey=GROUP_INSTANCE, sequenceId=0
        )
    return made


def _backing(kind: str, value: str) -> Any:
    if kind in {"vgpu", "group"}:
        return Passthrough.VmiopBackingInfo(vgpu=value.rpartition("@")[2].partition("%")[0])
    if kind == "dvx":
        return Passthrough.DvxBackingInfo(deviceClass=value)
    if kind == "passthrough" and "." not in value:
        ids, _, label = value.partition("@")
        pairs = [pair.split(":") for pair in ids.split(",")]
        return Passthrough.DynamicBackingInfo(
            deviceName="",
            allowedDevice=[
                Passthrough.AllowedDevice(vendorId=int(vendor, 16), deviceId=int(device_id, 16))
                for vendor, device_id in pairs
            ],
            customLabel=label or None,
        )
    vendor = NVIDIA if kind == "passthrough" else INTEL
    return Passthrough.DeviceBackingInfo(
        id=value, deviceId="0x20b2", systemId="s", vendorId=_signed(vendor), deviceName=""
    )


def _signed(number: int) -> int:
    return number - 0x10000 if number & 0x8000 else number


def config(texts: Iterable[str], *more: Any, **fields: Any) -> VmConfig:
    """Return the configuration of a VM with these devices, and with `more` ready-made ones."""
    listed = list(texts)
    names = [text.partition(" ")[2] for text in listed if text.startswith("group ")]
    groups = vim.vm.VirtualDeviceGroups(
        deviceGroup=[
            vim.vm.VirtualDeviceGroups.VendorDeviceGroup(
                groupInstanceKey=GROUP_INSTANCE, deviceGroupName=names[0]
            )
        ]
        if names
        else []
    )
    devices = [device(text, 13000 + index) for index, text in enumerate(listed)]
    return VmConfig(devices=[*devices, *more], device_groups=groups, **fields)


def described(changes: Iterable[Any], groups: Any, now: VmConfig) -> list[str]:
    """Return device changes as `OPERATION KIND VALUE`."""
    found = []
    for change in changes:
        named = groups if change.operation == "add" else now.device_groups
        (gpu,) = gpu_devices([change.device], named)
        label = f"@{gpu.label}" if gpu.label else ""
        found.append(f"{change.operation} {gpu.kind} {gpu.value}{label}")
    return found


def disk(gib: int, key: int = 2000) -> Any:
    """Return a virtual disk."""
    return vim.vm.device.VirtualDisk(
        key=key,
        controllerKey=1000,
        unitNumber=0,
        capacityInKB=gib * 2**20,
        capacityInBytes=gib * 2**30,
        backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
            fileName="[vsan] t/t.vmdk", diskMode="persistent"
        ),
    )


def network_card(kind: Any = vim.vm.device.VirtualVmxnet3, key: int = 4000) -> Any:
    """Return a network card."""
    return kind(
        key=key,
        controllerKey=100,
        unitNumber=7,
        addressType="assigned",
        wakeOnLanEnabled=True,
        backing=vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="old"),
    )
