"""From an action to what vCenter is asked for. Pure: nothing here talks to anyone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim

from provision.plan.identity import stamps
from provision.plan.model import Action
from provision.plan.settings import HARDWARE
from provision.spec.model import GroupRequest, Machine, PassthroughRequest
from provision.vsphere.cloudinit import guestinfo
from provision.vsphere.devices import (
    VmConfig,
    disk_bytes,
    first_disk,
    first_network_card,
    gpu_devices,
    wire,
    wire_of,
)
from provision.vsphere.gpuspec import CardFacts, gpu_changes
from provision.vsphere.vm_reader import note

_Spec = vim.vm.device.VirtualDeviceSpec
_Ethernet = vim.vm.device.VirtualEthernetCard

# Dynamic DirectPath I/O came with hardware version 17, vendor device groups with version 20
# (vSphere 7.0 and 8.0, "Virtual Machine Hardware Versions").
DYNAMIC_HARDWARE = 17
GROUP_HARDWARE = 20
NEW_NETWORK_CARD = -50


@dataclass(frozen=True, slots=True)
class Parts:
    """What a machine is built from, beside its spec and what was planned.

    Attributes:
        cards: The facts behind the chosen cards.
        members: The devices that a wanted device group is made of, as a host offers them.
        network: Backing of the network card; None where the network is nothing to change.
    """

    cards: CardFacts
    members: Sequence[Any] = ()
    network: Any = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a new VM goes: references of managed objects."""

    pool: Any
    host: Any
    datastore: Any


def hardware_needed(machine: Machine) -> int:
    """Return the oldest hardware version that the machine's GPU mode works with; 0 for any."""
    if isinstance(machine.gpu, GroupRequest):
        return GROUP_HARDWARE
    dynamic = isinstance(machine.gpu, PassthroughRequest) and machine.gpu.pinned is None
    return DYNAMIC_HARDWARE if dynamic else 0


def clone_spec(
    action: Action, instance_uuid: str, place: Place, template: VmConfig, network: Any
) -> Any:
    """Return the clone call's specification: a stamped VM, off, without GPUs.

    Args:
        action: What is to be made.
        instance_uuid: Of the new VM.
        place: Where it goes.
        template: The template's configuration.
        network: Backing of its network card.
    """
    machine = spec_of(action)
    config = vim.vm.ConfigSpec(
        instanceUuid=instance_uuid,
        annotation=note(machine.lab, machine.name),
        numCPUs=machine.cpus,
        memoryMB=machine.memory.mib,
        extraConfig=_options(
            stamps(machine) | guestinfo(machine, instance_uuid) | _extra(action.settings)
        ),
        deviceChange=[network_change(template.devices, network)],
        **_hardware(action, machine),
    )
    location = vim.vm.RelocateSpec(pool=place.pool, host=place.host, datastore=place.datastore)
    return vim.vm.CloneSpec(location=location, powerOn=False, template=False, config=config)


def attach_spec(action: Action, now: VmConfig, parts: Parts) -> Any | None:
    """Return the change that adds GPUs and grows the disk; None where nothing is missing."""
    machine = spec_of(action)
    changes, groups = gpu_changes(machine, action, now, parts.cards, parts.members)
    changes = [*changes, *disk_change(machine, now.devices)]
    if not changes and groups is None:
        return None
    return vim.vm.ConfigSpec(deviceChange=changes, deviceGroups=groups)


def reconfigure_spec(action: Action, now: VmConfig, parts: Parts) -> Any | None:
    """Return the change that makes an existing VM what its spec says; None where it is so.

    Devices that vdl did not make stay, and so do settings that the plan does not name. In a VM
    that runs nothing but the disk is changed: vSphere refuses to change its PCI devices.
    """
    machine = spec_of(action)
    if action.restart:
        spec = attach_spec(action, now, parts) or vim.vm.ConfigSpec()
        if parts.network is not None and wire(now.devices) not in (None, wire_of(parts.network)):
            spec.deviceChange = [*spec.deviceChange, network_change(now.devices, parts.network)]
    else:
        spec = vim.vm.ConfigSpec(deviceChange=disk_change(machine, now.devices))
    wanted = stamps(machine) | _extra(action.settings)
    changed = {key: value for key, value in wanted.items() if now.extra.get(key) != value}
    fields: dict[str, Any] = {}
    if now.cpus != machine.cpus:
        fields["numCPUs"] = machine.cpus
    if now.memory_mib != machine.memory.mib:
        fields["memoryMB"] = machine.memory.mib
    if now.annotation != note(machine.lab, machine.name):
        fields["annotation"] = note(machine.lab, machine.name)
    if changed:
        fields["extraConfig"] = _options(changed)
    fields |= _hardware_changes(action, machine, now, resized="memoryMB" in fields)
    for name, value in fields.items():
        setattr(spec, name, value)
    return spec if fields or spec.deviceChange or spec.deviceGroups else None


def spec_of(action: Action) -> Machine:
    """Return the machine that the action shall bring about.

    Raises:
        ValueError: The action destroys, so there is none.
    """
    if action.spec is None:
        raise ValueError(f"{action.machine}: {action.kind} has no machine to build")
    return action.spec


def network_change(devices: Iterable[Any], backing: Any) -> Any:
    """Return the change that puts the template's first network card on the lab's network.

    The card is edited in place, so that its slot, and with it the guest's name for it, stays.
    A template without one gets a vmxnet3 card.
    """
    card = first_network_card(devices)
    connect = vim.vm.device.VirtualDevice.ConnectInfo(
        startConnected=True, allowGuestControl=True, connected=False
    )
    if card is None:
        new = vim.vm.device.VirtualVmxnet3(
            key=NEW_NETWORK_CARD, backing=backing, connectable=connect, addressType="generated"
        )
        return _Spec(operation=_Spec.Operation.add, device=new)
    same = type(card)(
        key=card.key,
        controllerKey=card.controllerKey,
        unitNumber=card.unitNumber,
        addressType=card.addressType,
        wakeOnLanEnabled=card.wakeOnLanEnabled,
        connectable=connect,
        backing=backing,
    )
    return _Spec(operation=_Spec.Operation.edit, device=same)


def network_backing(network: Any, name: str, switch_uuid: str = "", portgroup: str = "") -> Any:
    """Return a network card's backing: a distributed port group where a switch is named."""
    if switch_uuid:
        port = vim.dvs.PortConnection(switchUuid=switch_uuid, portgroupKey=portgroup)
        return _Ethernet.DistributedVirtualPortBackingInfo(port=port)
    return _Ethernet.NetworkBackingInfo(network=network, deviceName=name)


def disk_change(machine: Machine, devices: Iterable[Any]) -> list[Any]:
    """Return the change that grows the system disk; empty where it is large enough.

    A disk is never made smaller: vSphere can't.
    """
    disk = first_disk(devices)
    if disk is None or disk_bytes(disk) >= machine.disk:
        return []
    kib = -(-machine.disk // 1024)
    grown = vim.vm.device.VirtualDisk(
        key=disk.key,
        controllerKey=disk.controllerKey,
        unitNumber=disk.unitNumber,
        backing=disk.backing,
        capacityInKB=kib,
        capacityInBytes=kib * 1024,
    )
    return [_Spec(operation=_Spec.Operation.edit, device=grown)]


def _hardware(action: Action, machine: Machine) -> dict[str, Any]:
    """Return the fields that GPUs ask for; none for a machine without."""
    fields: dict[str, Any] = {}
    if action.settings.get("memoryReservationLockedToMax") == "TRUE":
        fields["memoryReservationLockedToMax"] = True
        fields["memoryAllocation"] = vim.ResourceAllocationInfo(reservation=machine.memory.mib)
    if action.settings.get("cpuHotAddEnabled") == "FALSE":
        fields |= {"cpuHotAddEnabled": False, "memoryHotAddEnabled": False}
    return fields


def _hardware_changes(
    action: Action, machine: Machine, now: VmConfig, *, resized: bool
) -> dict[str, Any]:
    """Return those of the fields that GPUs ask for which the VM does not have yet."""
    fields = _hardware(action, machine)
    wanted = "memoryReservationLockedToMax" in fields
    if now.memory_locked and wanted and not resized:
        del fields["memoryReservationLockedToMax"], fields["memoryAllocation"]
    elif now.memory_locked and machine.gpu is None and gpu_devices(now.devices):
        # Without its GPU the machine need not hold all of its memory any more.
        fields["memoryReservationLockedToMax"] = False
        fields["memoryAllocation"] = vim.ResourceAllocationInfo(reservation=0)
    if not now.cpu_hot_add:
        fields.pop("cpuHotAddEnabled", None)
    if not now.memory_hot_add:
        fields.pop("memoryHotAddEnabled", None)
    return fields


def _extra(settings: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in settings.items() if key not in HARDWARE}


def _options(values: Mapping[str, str]) -> list[Any]:
    return [vim.option.OptionValue(key=key, value=value) for key, value in sorted(values.items())]
