"""Devices of a VM as vdl sees them: GPUs of every kind, disks, network cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyVmomi import vim

from provision.gpu.catalogue import NVIDIA
from provision.plan.snapshot import GpuDevice
from provision.vsphere.collector import moid

_Passthrough = vim.vm.device.VirtualPCIPassthrough
_Ethernet = vim.vm.device.VirtualEthernetCard
MASK = 0xFFFF

CONFIG_PATHS = (
    "config.hardware.device",
    "config.deviceGroups",
    "config.extraConfig",
    "config.hardware.numCPU",
    "config.hardware.memoryMB",
    "config.memoryReservationLockedToMax",
    "config.cpuHotAddEnabled",
    "config.memoryHotAddEnabled",
    "config.annotation",
    "config.changeVersion",
)


@dataclass(frozen=True, slots=True)
class VmConfig:
    """What of a VM's configuration decides about changes to it."""

    devices: Sequence[Any] = ()
    device_groups: Any = None
    extra: Mapping[str, str] = field(default_factory=dict)
    cpus: int = 0
    memory_mib: int = 0
    memory_locked: bool = False
    cpu_hot_add: bool = False
    memory_hot_add: bool = False
    annotation: str = ""
    change_version: str = ""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> VmConfig:
        """Return a VM's configuration from its properties (`CONFIG_PATHS`)."""
        return cls(
            devices=values.get("config.hardware.device", ()),
            device_groups=values.get("config.deviceGroups"),
            extra=options(values.get("config.extraConfig")),
            cpus=values.get("config.hardware.numCPU", 0),
            memory_mib=values.get("config.hardware.memoryMB", 0),
            memory_locked=bool(values.get("config.memoryReservationLockedToMax")),
            cpu_hot_add=bool(values.get("config.cpuHotAddEnabled")),
            memory_hot_add=bool(values.get("config.memoryHotAddEnabled")),
            annotation=values.get("config.annotation") or "",
            change_version=values.get("config.changeVersion") or "",
        )

    @property
    def gpus(self) -> tuple[GpuDevice, ...]:
        """The VM's PCI devices."""
        return gpu_devices(self.devices, self.device_groups)


def options(extra_config: Iterable[Any] | None) -> dict[str, str]:
    """Return `extraConfig` as text by key."""
    return {option.key: str(option.value) for option in extra_config or ()}


def gpu_devices(devices: Iterable[Any], groups: Any = None) -> tuple[GpuDevice, ...]:
    """Return all PCI devices that a VM is given by its host, whoever added them.

    Members of a device group go by its name; without one, by what each of them is.

    Args:
        devices: `config.hardware.device`.
        groups: `config.deviceGroups`, which names the device groups.
    """
    names = {
        group.groupInstanceKey: group.deviceGroupName
        for group in (groups.deviceGroup if groups else ())
        if isinstance(group, vim.vm.VirtualDeviceGroups.VendorDeviceGroup)
    }
    return tuple(_gpu(device, names) for device in devices if isinstance(device, _Passthrough))


def _gpu(device: Any, groups: dict[int, str]) -> GpuDevice:
    member = device.deviceGroupInfo
    if member is not None and member.groupInstanceKey in groups:
        name = groups[member.groupInstanceKey]
        return GpuDevice(device.key, "group", name, group_key=member.groupInstanceKey)
    kind, value = _backing(device.backing)
    label = getattr(device.backing, "customLabel", None) or None
    return GpuDevice(device.key, kind, value, label=label)


def _backing(backing: Any) -> tuple[str, str]:
    if isinstance(backing, _Passthrough.VmiopBackingInfo):
        return "vgpu", str(backing.vgpu or "")
    if isinstance(backing, _Passthrough.DynamicBackingInfo):
        pairs = sorted((d.vendorId & MASK, d.deviceId & MASK) for d in backing.allowedDevice)
        text = ",".join(f"{vendor:04x}:{device:04x}" for vendor, device in pairs)
        return _gpu_or_other([vendor for vendor, _ in pairs]), text
    if isinstance(backing, _Passthrough.DeviceBackingInfo):
        return _gpu_or_other([backing.vendorId & MASK]), str(backing.id)
    if isinstance(backing, _Passthrough.DvxBackingInfo):
        return "other", str(backing.deviceClass)
    return "other", type(backing).__name__.rpartition(".")[2]


def _gpu_or_other(vendors: list[int]) -> str:
    """Tell GPUs from what else is passed through, such as a network card."""
    return "passthrough" if NVIDIA in vendors else "other"


def held_address(device: Any) -> str | None:
    """Return the address of the card that a passthrough device holds while its VM is on."""
    backing = device.backing
    if isinstance(backing, _Passthrough.DynamicBackingInfo):
        return backing.assignedId or None
    if isinstance(backing, _Passthrough.DeviceBackingInfo):
        return backing.id or None
    return None


def vgpu_profiles(devices: Iterable[Any]) -> list[str]:
    """Return the vGPU profile of each vGPU of a VM, also of those in device groups."""
    return [
        device.backing.vgpu
        for device in devices
        if isinstance(device, _Passthrough)
        and isinstance(device.backing, _Passthrough.VmiopBackingInfo)
        and device.backing.vgpu
    ]


def first_disk(devices: Iterable[Any]) -> Any | None:
    """Return the disk that holds the system: the one with the lowest key."""
    disks = [device for device in devices if isinstance(device, vim.vm.device.VirtualDisk)]
    return min(disks, key=lambda disk: int(disk.key), default=None)


def first_network_card(devices: Iterable[Any]) -> Any | None:
    """Return the network card with the lowest key."""
    cards = [d for d in devices if isinstance(d, vim.vm.device.VirtualEthernetCard)]
    return min(cards, key=lambda card: int(card.key), default=None)


def wire(devices: Iterable[Any]) -> str | None:
    """Return what the first network card is on, as `Network.wire` names it.

    Empty for nothing; None for what can't be compared, such as an opaque network of NSX.
    """
    card = first_network_card(devices)
    return wire_of(card.backing) if card is not None else ""


def wire_of(backing: Any) -> str | None:
    """Return the network that a network card's backing names; as `wire`."""
    if isinstance(backing, _Ethernet.DistributedVirtualPortBackingInfo):
        return str(backing.port.portgroupKey or "")
    if isinstance(backing, _Ethernet.NetworkBackingInfo):
        return moid(backing.network) if backing.network is not None else ""
    return None


def disk_bytes(disk: Any) -> int:
    """Return the size of a disk."""
    return int(disk.capacityInBytes or disk.capacityInKB * 1024)
