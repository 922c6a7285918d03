"""Virtual devices of a VM: the usual set, and what a reconfiguration makes of them."""

from __future__ import annotations

import copy
from functools import cache
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.engine.schema import build
from provision.simulator.inventory import faults, limits

if TYPE_CHECKING:
    from provision.simulator.inventory.vmconfig import VmConfig

_dev = vim.vm.device
Passthrough = vim.vm.device.VirtualPCIPassthrough
Backing = Passthrough.DeviceBackingInfo
DynamicBacking = Passthrough.DynamicBackingInfo
VgpuBacking = Passthrough.VmiopBackingInfo

# Device keys as vSphere hands them out.
PCI, PS2, SIO, SCSI, DISK, NIC, PASSTHRU = 100, 300, 400, 1000, 2000, 4000, 13000

_FIRST_KEY: tuple[tuple[type[Any], int], ...] = (
    (_dev.VirtualDisk, DISK),
    (_dev.VirtualEthernetCard, NIC),
    (_dev.VirtualSCSIController, SCSI),
    (_dev.VirtualIDEController, 200),
    (_dev.VirtualCdrom, 3000),
    (_dev.VirtualSerialPort, 9000),
    (_dev.VirtualTPM, 11000),
    (_dev.VirtualAHCIController, 15000),
    (_dev.VirtualNVMEController, 31000),
    (Passthrough, PASSTHRU),
)
_OTHER_KEY = 20000


def _info(label: str, summary: str | None = None) -> Any:
    return build(vim.Description, label=label, summary=summary or label)


def _on_pci(kind: type[Any], key: int, unit: int, label: str, **values: Any) -> Any:
    return build(
        kind, key=key, controllerKey=PCI, unitNumber=unit, deviceInfo=_info(label), **values
    )


@cache
def _controllers() -> tuple[Any, ...]:
    """Return what every VM has; nobody changes these objects, so that all VMs share them."""
    return (
        build(
            _dev.VirtualPS2Controller, key=PS2, busNumber=0, deviceInfo=_info("PS2 controller 0")
        ),
        build(
            _dev.VirtualPCIController, key=PCI, busNumber=0, deviceInfo=_info("PCI controller 0")
        ),
        build(
            _dev.VirtualSIOController, key=SIO, busNumber=0, deviceInfo=_info("SIO controller 0")
        ),
        _on_pci(_dev.VirtualVideoCard, 500, 0, "Video card", videoRamSizeInKB=16384),
        _on_pci(
            _dev.ParaVirtualSCSIController,
            SCSI,
            3,
            "SCSI controller 0",
            busNumber=0,
            scsiCtlrUnitNumber=7,
            sharedBus="noSharing",
        ),
    )


def standard(config: VmConfig) -> list[Any]:
    """Return the devices of a VM that has one disk, one network card and nothing special."""
    return [*_controllers(), new_disk(config, config.disk_bytes), new_nic(config, NIC, 7)]


def new_disk(config: VmConfig, size: int) -> Any:
    """Return the first disk of a VM; `size` is bytes."""
    backing = build(
        _dev.VirtualDisk.FlatVer2BackingInfo,
        fileName=f"[{config.datastore.name}] {config.directory}/{config.directory}.vmdk",
        datastore=config.datastore.ref,
        diskMode="persistent",
        thinProvisioned=False,
        uuid=config.uuid,
    )
    return build(
        _dev.VirtualDisk,
        key=DISK,
        controllerKey=SCSI,
        unitNumber=0,
        deviceInfo=_info("Hard disk 1", f"{size // 1024:,} KB"),
        backing=backing,
        capacityInKB=size // 1024,
        capacityInBytes=size,
    )


def new_nic(config: VmConfig, key: int, unit: int) -> Any:
    """Return a vmxnet3 card on the VM's network."""
    connect = build(
        _dev.VirtualDevice.ConnectInfo,
        startConnected=True,
        allowGuestControl=True,
        connected=config.running,
    )
    return _on_pci(
        _dev.VirtualVmxnet3,
        key,
        unit,
        f"Network adapter {key - NIC + 1}",
        backing=config.network.backing(),
        connectable=connect,
        addressType="assigned",
        macAddress=config.mac,
        wakeOnLanEnabled=True,
    )


def passthrough_devices(devices: list[Any]) -> list[Any]:
    """Return the PCI passthrough devices, in the order of their keys."""
    found = [device for device in devices if isinstance(device, Passthrough)]
    return sorted(found, key=lambda device: int(device.key))


def disk_bytes(devices: list[Any]) -> int:
    """Return the size of all disks together."""
    return sum(_capacity(d) for d in devices if isinstance(d, _dev.VirtualDisk))


def _capacity(disk: Any) -> int:
    return int(disk.capacityInBytes or 0) or 1024 * int(disk.capacityInKB or 0)


def _resize(disk: Any, size: int) -> None:
    disk.capacityInBytes, disk.capacityInKB = size, size // 1024


class Change:
    """A list of devices while a `ConfigSpec.deviceChange` is applied to it.

    Args:
        config: The VM as it is.
        api: API version of the vCenter.
        running: Whether the VM is powered on.
    """

    def __init__(self, config: VmConfig, api: str, *, running: bool) -> None:
        self.config = config
        self.devices = list(config.devices())
        self._api = api
        self._running = running
        self._groups: dict[int, int] = {}
        self._new_keys: dict[int, int] = {}

    def apply(self, changes: list[Any]) -> list[Any]:
        """Return the devices after all changes.

        Raises:
            vim.fault.InvalidDeviceSpec: A change makes no sense.
            vim.fault.DeviceUnsupportedForVmVersion: The hardware version is too old.
            vim.fault.TooManyDevices: More passthrough devices than a VM may have.
        """
        self._check_keys(changes)
        for index, change in enumerate(changes):
            operation = change.operation or "edit"
            if isinstance(change.device, Passthrough) and self._running:
                raise faults.power_state("poweredOn", "poweredOff")
            if operation == "add":
                self._add(index, change.device)
            elif operation == "remove":
                self.devices.remove(self._find(index, change.device))
            else:
                self._edit(index, change.device)
        self._check_numbers()
        self._check_controllers(changes)
        return self.devices

    def group_keys(self) -> dict[int, int]:
        """Return the lasting key of each device group that was added under a negative one."""
        return self._groups

    @staticmethod
    def _check_keys(changes: list[Any]) -> None:
        """Refuse equal keys: vCenter can't tell the new devices apart."""
        seen: set[int] = set()
        for index, change in enumerate(changes):
            if change.operation == "add" and change.device.key in seen:
                raise faults.device_spec(
                    index, f"Two added devices have the key {change.device.key}."
                )
            if change.operation == "add":
                seen.add(change.device.key)

    def _find(self, index: int, device: Any) -> Any:
        for known in self.devices:
            if known.key == device.key:
                return known
        raise faults.device_spec(
            index, f"The VM has no device with the key {device.key}.", vim.fault.DeviceNotFound
        )

    def _add(self, index: int, device: Any) -> None:
        device = copy.copy(device)
        if isinstance(device, Passthrough):
            self._check_passthrough(index, device)
        first = next((key for kind, key in _FIRST_KEY if isinstance(device, kind)), _OTHER_KEY)
        used = {known.key for known in self.devices}
        asked = device.key
        device.key = next(key for key in range(first, first + len(used) + 1) if key not in used)
        self._new_keys[asked] = device.key
        device.controllerKey = self._new_keys.get(device.controllerKey, device.controllerKey)
        self._complete(device)
        self.devices.append(device)

    def _check_passthrough(self, index: int, device: Any) -> None:
        backing = device.backing
        if backing is None:
            raise faults.device_spec(
                index, "A PCI passthrough device needs a backing.", vim.fault.InvalidDeviceBacking
            )
        dynamic = isinstance(backing, DynamicBacking)
        if dynamic and self.config.hardware < limits.DYNAMIC_DIRECTPATH_HARDWARE:
            expected = f"vmx-{limits.DYNAMIC_DIRECTPATH_HARDWARE}"
            raise faults.refuse(
                vim.fault.DeviceUnsupportedForVmVersion,
                f"The device needs hardware version {expected}, the VM has {self.config.version}.",
                property=f"virtualDeviceSpec[{index}]",
                deviceIndex=index,
                currentVersion=self.config.version,
                expectedVersion=expected,
            )
        group = device.deviceGroupInfo
        if group is not None and group.groupInstanceKey < 0:
            lasting = len(self._groups) + 1 + max(self.config.groups, default=0)
            group = copy.copy(group)
            group.groupInstanceKey = self._groups.setdefault(group.groupInstanceKey, lasting)
            device.deviceGroupInfo = group

    def _complete(self, device: Any) -> None:
        """Fill in what vCenter fills in."""
        if isinstance(device, Passthrough):
            number = device.key - PASSTHRU
            device.controllerKey, device.unitNumber = PCI, 18 + number
            device.deviceInfo = _info(f"PCI device {number}", str(label(device)))
        elif isinstance(device, _dev.VirtualEthernetCard):
            device.deviceInfo = _info(f"Network adapter {device.key - NIC + 1}")
            device.controllerKey = PCI
            device.macAddress = device.macAddress or self.config.next_mac()
        elif isinstance(device, _dev.VirtualDisk):
            device.deviceInfo = _info(f"Hard disk {device.key - DISK + 1}")
            _resize(device, _capacity(device))
            device.backing = device.backing or new_disk(self.config, 0).backing

    def _edit(self, index: int, device: Any) -> None:
        known = self._find(index, device)
        device = copy.copy(device)
        if isinstance(device, _dev.VirtualDisk):
            before, after = _capacity(known), self._asked(known, device)
            if after < before:
                raise faults.device_spec(
                    index, f"A disk can't shrink: from {before} to {after} bytes."
                )
            _resize(device, after)
        for name in ("backing", "deviceInfo", "controllerKey", "unitNumber", "deviceGroupInfo"):
            if getattr(device, name) is None:
                setattr(device, name, getattr(known, name))
        self.devices[self.devices.index(known)] = device

    @staticmethod
    def _asked(known: Any, device: Any) -> int:
        """Return the size asked for: of two sizes the one that the client has changed."""
        in_bytes, in_kib = int(device.capacityInBytes or 0), int(device.capacityInKB or 0)
        unchanged = in_bytes == _capacity(known)
        return 1024 * in_kib if not in_bytes or (unchanged and in_kib) else in_bytes

    def _check_controllers(self, changes: list[Any]) -> None:
        """Refuse disks on a controller that is not there."""
        keys = {device.key for device in self.devices}
        for device in self.devices:
            if isinstance(device, _dev.VirtualDisk) and device.controllerKey not in keys:
                raise faults.device_spec(
                    len(changes) - 1,
                    f"No controller of the VM has the key {device.controllerKey}.",
                    vim.fault.MissingController,
                )

    def _check_numbers(self) -> None:
        found = passthrough_devices(self.devices)
        vgpus = [d for d in found if isinstance(d.backing, VgpuBacking)]
        most = limits.max_passthrough(self._api, self.config.hardware)
        if len(found) > most or len(vgpus) > limits.max_vgpus(self._api):
            raise faults.refuse(
                vim.fault.TooManyDevices,
                f"A VM may have {limits.max_vgpus(self._api)} vGPUs and {most} PCI devices.",
                property="virtualDeviceSpec",
            )


def label(device: Any) -> str:
    """Return how a message names the backing of a passthrough device."""
    backing = device.backing
    if isinstance(backing, VgpuBacking):
        return f"NVIDIA vGPU {backing.vgpu}"
    if isinstance(backing, DynamicBacking):
        kinds = (f"{d.vendorId & 0xFFFF:04x}:{d.deviceId & 0xFFFF:04x}" for d in _allowed(backing))
        return f"PCI device {' or '.join(kinds)}"
    if isinstance(backing, Backing):
        return f"PCI device {backing.id}"
    return type(backing).__name__


def _allowed(backing: Any) -> list[Any]:
    return list(backing.allowedDevice or ())
