"""What a `ConfigSpec` makes of a VM's configuration."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.inventory import faults, limits
from provision.simulator.inventory.devices import Change, _dev
from provision.simulator.inventory.switches import PortGroup

if TYPE_CHECKING:
    from provision.simulator.inventory.storage import Network
    from provision.simulator.inventory.vm import VirtualMachine
    from provision.simulator.inventory.vmconfig import VmConfig

_PLAIN = (
    ("guestId", "guest_id"),
    ("annotation", "annotation"),
    ("numCoresPerSocket", "cores_per_socket"),
    ("cpuHotAddEnabled", "cpu_hot_add"),
    ("memoryHotAddEnabled", "memory_hot_add"),
    ("memoryReservationLockedToMax", "locked"),
    ("memoryAllocation", "memory_allocation"),
    ("cpuAllocation", "cpu_allocation"),
    ("latencySensitivity", "latency"),
    ("bootOptions", "boot_options"),
    ("managedBy", "managed_by"),
)
MEMORY_STEP_MB = 4
# What can't be changed while the VM runs.
_COLD = ("firmware", "version", "cpuHotAddEnabled", "memoryHotAddEnabled", "numCoresPerSocket")


def reconfigure(vm: VirtualMachine, spec: Any) -> None:
    """Change the configuration of a VM, all of it or nothing.

    Raises:
        vim.fault.ConcurrentAccess: `changeVersion` is not the present one.
        vmodl.MethodFault: A value makes no sense, or not now.
    """
    old = vm.config
    if spec.changeVersion and spec.changeVersion != old.change_version:
        message = f"The configuration of {vm.name} was changed by somebody else."
        raise faults.refuse(vim.fault.ConcurrentAccess, message)
    if spec.name and spec.name != vm.name and (folder := vm.folder) is not None:
        folder.require_free(spec.name)
    new = applied(old, spec, running=vm.on)
    new.datastore.take(new.disks_size - old.disks_size)
    new.changes = old.changes + 1
    vm.inventory.replace_config(vm, new)
    if spec.name and spec.name != vm.name:
        vm.rename(spec.name)
    vm.touch()


def applied(old: VmConfig, spec: Any, *, running: bool) -> VmConfig:
    """Return the configuration that results from a spec.

    Raises:
        vmodl.MethodFault: A value makes no sense, or not now.
    """
    if running:
        _check_running(old, spec)
    new = old.copied()
    for theirs, ours in _PLAIN:
        if (value := getattr(spec, theirs)) is not None:
            setattr(new, ours, value)
    _size(new, spec)
    _identity(new, spec)
    if spec.firmware:
        if spec.firmware not in ("efi", "bios"):
            raise faults.invalid_argument("configSpec.firmware", f"{spec.firmware} is no firmware.")
        new.firmware = spec.firmware
    for option in spec.extraConfig or ():
        if option.value in ("", None):
            new.extra.pop(option.key, None)
        else:
            new.extra[option.key] = str(option.value)
    if spec.deviceChange or spec.deviceGroups:
        _devices(new, spec, running=running)
    return new


def _check_running(old: VmConfig, spec: Any) -> None:
    """Refuse what needs the VM to be powered off (API reference, `ReconfigVM_Task`)."""
    if any(getattr(spec, name) is not None for name in _COLD):
        raise faults.power_state("poweredOn", "poweredOff")
    if spec.numCPUs not in (None, 0, old.cpus) and not old.cpu_hot_add:
        message = "CPU hot plug is not supported for this virtual machine."
        raise faults.refuse(vim.fault.CpuHotPlugNotSupported, message)
    if spec.memoryMB not in (None, 0, old.memory_mb) and not old.memory_hot_add:
        message = "Memory hot plug is not supported for this virtual machine."
        raise faults.refuse(vim.fault.MemoryHotPlugNotSupported, message)


def _size(new: VmConfig, spec: Any) -> None:
    if spec.numCPUs:
        if not 1 <= spec.numCPUs <= limits.MAX_CPUS:
            raise faults.invalid_argument(
                "configSpec.numCPUs", f"{spec.numCPUs} CPUs are not possible."
            )
        new.cpus = spec.numCPUs
    if spec.memoryMB:
        if spec.memoryMB % MEMORY_STEP_MB or not 0 < spec.memoryMB <= limits.MAX_MEMORY_MB:
            raise faults.invalid_argument(
                "configSpec.memoryMB", f"{spec.memoryMB} MiB of memory are no multiple of 4 MiB."
            )
        new.memory_mb = spec.memoryMB
    allocation = spec.memoryAllocation
    if allocation and (allocation.reservation or 0) > new.memory_mb:
        raise faults.invalid_argument(
            "configSpec.memoryAllocation", f"{allocation.reservation} MiB are more than the VM has."
        )
    if spec.version:
        number = limits.hardware_number(spec.version)
        newest = limits.newest_hardware(new.inventory.world.settings.api_version)
        if not new.hardware <= number <= newest:
            raise faults.invalid_argument("configSpec.version", f"{spec.version} is not possible.")
        new.hardware = number


def _identity(new: VmConfig, spec: Any) -> None:
    if spec.uuid:
        new.uuid = str(uuid.UUID(spec.uuid))
    if spec.instanceUuid == "":
        new.instance_uuid = str(uuid.uuid4())
    elif spec.instanceUuid:
        try:
            new.instance_uuid = str(uuid.UUID(spec.instanceUuid))
        except ValueError:
            message = f"{spec.instanceUuid} is no UUID."
            raise faults.invalid_argument("configSpec.instanceUuid", message) from None


def _devices(new: VmConfig, spec: Any, *, running: bool) -> None:
    api = new.inventory.world.settings.api_version
    change = Change(new, api, running=running)
    new.own_devices = change.apply(list(spec.deviceChange or ()))
    _groups(new, spec, change.group_keys())
    nics = [d for d in new.own_devices if isinstance(d, _dev.VirtualEthernetCard)]
    if nics:
        new.mac = str(nics[0].macAddress)
        new.network, *_ = [_network(new, nic.backing) for nic in nics]


def _network(new: VmConfig, backing: Any) -> Network:
    """Return the network that a card is on, named by reference, port group or name."""
    if isinstance(backing, _dev.VirtualEthernetCard.DistributedVirtualPortBackingInfo):
        return _port_group(new, backing.port)
    if getattr(backing, "network", None) is not None:
        return new.inventory.network(backing.network)
    name = getattr(backing, "deviceName", None) or new.network.name
    folder = new.datastore.datacenter.network_folder
    found = folder.children.get(name)
    if found is None:
        raise faults.device_spec(
            0, f"There is no network '{name}'.", vim.fault.InvalidDeviceBacking
        )
    return new.inventory.network(found.ref)


def _port_group(new: VmConfig, port: Any) -> Network:
    for found in new.datastore.datacenter.network_folder.children.values():
        if isinstance(found, PortGroup) and found.is_named(port):
            return found
    raise faults.device_spec(
        0,
        f"The switch {port.switchUuid} has no port group '{port.portgroupKey}'.",
        vim.fault.InvalidDeviceBacking,
    )


def _groups(new: VmConfig, spec: Any, lasting: dict[int, int]) -> None:
    """Take over the vendor device groups; each must come with all of its members."""
    given = spec.deviceGroups.deviceGroup if spec.deviceGroups else ()
    for group in given or ():
        key = lasting.get(group.groupInstanceKey, group.groupInstanceKey)
        new.groups[key] = group.deviceGroupName
    members = Counter(
        device.deviceGroupInfo.groupInstanceKey
        for device in new.own_devices or ()
        if device.deviceGroupInfo is not None
    )
    if unnamed := set(members) - set(new.groups):
        raise faults.device_spec(0, f"There is no device group with the key {min(unnamed)}.")
    for key, name in list(new.groups.items()):
        if not members[key]:
            del new.groups[key]
            continue
        match = re.match(r"\w+:(\d+)@", name)
        if match and int(match[1]) != members[key]:
            raise faults.device_spec(
                0, f"The device group {name} has {match[1]} members, not {members[key]}."
            )
