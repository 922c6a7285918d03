"""Privileges that no method needs as such, but what it is asked to do.

pyVmomi's type tables name one privilege per method and parameter. What a clone or a
reconfiguration needs depends on its specification, as the vSphere Web Services API reference
(8.0U3) lists it under `CloneVM_Task` and `ReconfigVM_Task`; that a deployment needs
`VirtualMachine.Config.AddNewDisk` and `Network.Assign` is in vSphere Security, "Required
vCenter Server Privileges for Common Tasks".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.inventory.devices import _dev

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.inventory.entity import Entity
    from provision.simulator.inventory.folder import Folder
    from provision.simulator.inventory.vm import VirtualMachine
    from provision.simulator.inventory.vmconfig import VmConfig

Need = tuple[str, "Entity"]

_CONFIG = "VirtualMachine.Config."
# Fields of a ConfigSpec, by what setting them to another value needs.
_FIELDS = {
    "name": "Rename",
    "annotation": "Annotation",
    "numCPUs": "CPUCount",
    "numCoresPerSocket": "CPUCount",
    "memoryMB": "Memory",
    "memoryAllocation": "Resource",
    "memoryReservationLockedToMax": "Resource",
    "cpuAllocation": "Resource",
    "latencySensitivity": "Resource",
    "extraConfig": "AdvancedConfig",
    "managedBy": "ManagedBy",
    "version": "UpgradeVirtualHardware",
    "uuid": "Settings",
    "instanceUuid": "Settings",
    "guestId": "Settings",
    "firmware": "Settings",
    "bootOptions": "Settings",
    "cpuHotAddEnabled": "Settings",
    "memoryHotAddEnabled": "Settings",
}
# What the configuration calls these fields, where the old value can be told.
_OWN = {
    "name": "name",
    "annotation": "annotation",
    "numCPUs": "cpus",
    "numCoresPerSocket": "cores_per_socket",
    "memoryMB": "memory_mb",
    "memoryReservationLockedToMax": "locked",
    "firmware": "firmware",
    "guestId": "guest_id",
    "uuid": "uuid",
    "instanceUuid": "instance_uuid",
    "cpuHotAddEnabled": "cpu_hot_add",
    "memoryHotAddEnabled": "memory_hot_add",
}
# What a client leaves out reads as one of these.
_UNSET: tuple[Any, ...] = (None, "", [])

# By (source is a template, copy is a template).
_CLONING = {
    (True, False): "DeployTemplate",
    (False, False): "Clone",
    (False, True): "CreateTemplateFromVM",
    (True, True): "CloneTemplate",
}
_RAW = (
    _dev.VirtualDisk.RawDiskMappingVer1BackingInfo,
    _dev.VirtualDisk.RawDiskVer2BackingInfo,
)
# What renaming and deleting needs, by the kind of entity.
RENAMING = {
    vim.VirtualMachine: f"{_CONFIG}Rename",
    vim.Folder: "Folder.Rename",
    vim.Datacenter: "Datacenter.Rename",
    vim.ResourcePool: "Resource.RenamePool",
    vim.Datastore: "Datastore.Rename",
}
DELETING = {
    vim.VirtualMachine: "VirtualMachine.Inventory.Delete",
    vim.Folder: "Folder.Delete",
    vim.Datacenter: "Datacenter.Delete",
    vim.ResourcePool: "Resource.DeletePool",
}


def require(call: Call, needs: Iterable[Need]) -> None:
    """Make sure that the caller holds all of these privileges.

    Raises:
        vim.fault.NoPermission: It lacks some; all that are missing are named.
    """
    lacking: dict[str, tuple[Any, list[str]]] = {}
    for privilege, entity in dict.fromkeys(needs):
        if not call.world.allows(call.session, privilege):
            lacking.setdefault(entity.moid, (entity.ref, []))[1].append(privilege)
    if not lacking:
        return
    first, names = next(iter(lacking.values()))
    kind: Any = vim.fault.NoPermission
    raise kind(
        object=first,
        privilegeId=names[0],
        missingPrivileges=[
            kind.EntityPrivileges(entity=ref, privilegeIds=ids) for ref, ids in lacking.values()
        ],
        msg=f"{call.user} lacks {names[0]}",
    )


def of_kind(table: dict[type[Any], str], entity: Entity) -> list[Need]:
    """Return what a table of kinds of entities asks for one of them."""
    return [(name, entity) for kind, name in table.items() if issubclass(entity.wsdl_type, kind)]


def for_clone(source: VirtualMachine, folder: Folder, spec: Any) -> Iterator[Need]:
    """Yield what cloning a VM or template into a folder needs."""
    inventory, location = source.inventory, spec.location
    how = _CLONING[source.config.template, bool(spec.template)]
    yield f"VirtualMachine.Provisioning.{how}", source
    yield "VirtualMachine.Inventory.CreateFromExisting", folder
    if source.config.disks_size:
        yield f"{_CONFIG}AddNewDisk", folder
    if location.pool is not None and not spec.template:
        yield "Resource.AssignVMToPool", inventory.pool(location.pool)
    store = location.datastore
    yield (
        "Datastore.AllocateSpace",
        inventory.datastore(store) if store else source.config.datastore,
    )
    yield "Network.Assign", source.config.network
    if spec.config is not None:
        yield from for_config(source.config, spec.config, folder)
    if spec.powerOn:
        yield "VirtualMachine.Interact.PowerOn", folder


def for_relocation(vm: VirtualMachine, spec: Any) -> Iterator[Need]:
    """Yield what moving a VM needs (API reference, `RelocateVM_Task`)."""
    yield "Resource.ColdMigrate", vm
    if vm.on:
        yield "Resource.HotMigrate", vm
    if spec.pool is not None:
        yield "Resource.AssignVMToPool", vm.inventory.pool(spec.pool)
    if spec.datastore is not None:
        yield "Datastore.AllocateSpace", vm.inventory.datastore(spec.datastore)


def for_config(old: VmConfig, spec: Any, entity: Entity) -> Iterator[Need]:
    """Yield what bringing a configuration to a ConfigSpec needs.

    Args:
        old: The configuration before.
        spec: The ConfigSpec.
        entity: What the privileges must be held on: the VM, for a new one its folder.
    """
    for field, name in _FIELDS.items():
        value = getattr(spec, field)
        if not (value in _UNSET or _unchanged(old, field, value)):
            yield _CONFIG + name, entity
    for change in spec.deviceChange or ():
        yield from _for_device(old, change, entity)


def _unchanged(old: VmConfig, field: str, value: Any) -> bool:
    return field in _OWN and bool(getattr(old, _OWN[field]) == value)


def _for_device(old: VmConfig, change: Any, entity: Entity) -> Iterator[Need]:
    device, operation = change.device, str(change.operation or "edit")
    if isinstance(device, _dev.VirtualSCSIPassthrough) or isinstance(device.backing, _RAW):
        yield f"{_CONFIG}RawDevice", entity
    elif isinstance(device, _dev.VirtualUSB):
        yield f"{_CONFIG}HostUSBDevice", entity
    elif isinstance(device, _dev.VirtualDisk):
        yield from _for_disk(old, change, operation, entity)
    elif operation == "edit":
        yield f"{_CONFIG}EditDevice", entity
    else:
        yield f"{_CONFIG}AddRemoveDevice", entity
    if isinstance(device, _dev.VirtualEthernetCard) and operation != "remove":
        network = getattr(device.backing, "network", None)
        yield "Network.Assign", old.inventory.network(network) if network else old.network


def _for_disk(old: VmConfig, change: Any, operation: str, entity: Entity) -> Iterator[Need]:
    if operation == "remove":
        yield f"{_CONFIG}RemoveDisk", entity
    elif operation == "add":
        made = change.fileOperation is not None
        yield _CONFIG + ("AddNewDisk" if made else "AddExistingDisk"), entity
        if made:
            yield "Datastore.AllocateSpace", old.datastore
    elif _grows(old, change.device):
        yield f"{_CONFIG}DiskExtend", entity
        yield "Datastore.AllocateSpace", old.datastore
    else:
        yield f"{_CONFIG}EditDevice", entity


def _grows(old: VmConfig, disk: Any) -> bool:
    known = next((d for d in old.devices() if d.key == disk.key), None)
    return known is not None and (disk.capacityInKB or 0) > known.capacityInKB
