"""Making VMs: clones of VMs and templates, and VMs from nothing."""

from __future__ import annotations

import copy
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyVmomi import vim, vmodl

from provision.simulator.inventory import faults, limits, placement, reconfigure
from provision.simulator.inventory.devices import DynamicBacking, Passthrough, _dev
from provision.simulator.inventory.entity import checked_name
from provision.simulator.inventory.vmconfig import VmConfig

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.inventory.compute import ResourcePool
    from provision.simulator.inventory.folder import Folder
    from provision.simulator.inventory.host import Host
    from provision.simulator.inventory.storage import Datastore
    from provision.simulator.inventory.vm import VirtualMachine


@dataclass(frozen=True, slots=True)
class Place:
    """Where a new VM goes; `pool` is None for a template."""

    folder: Folder
    host: Host
    pool: ResourcePool | None
    datastore: Datastore


class _Making:
    """A VM that is being made: it is in the inventory, under its name, but not usable yet."""

    def __init__(self) -> None:
        self.vm: VirtualMachine | None = None

    def begin(self, place: Place, config: VmConfig) -> None:
        place.folder.require_free(config.name)
        config.datastore.take(config.disks_size)
        vm = place.folder.inventory.new_vm(config, place.folder, place.host)
        vm.move_to_pool(place.pool)
        self.vm = vm

    def finish(self, *, power_on: bool) -> Any:
        vm = self.vm
        if vm is None:
            raise vmodl.fault.SystemError(reason="simulator", msg="nothing was begun")
        vm.inventory.complete_vm(vm)
        if power_on:
            vm.start_on(vm.host)
        return vm.ref

    def undo(self) -> None:
        if self.vm is not None and not self.vm.made:
            self.vm.config.datastore.take(-self.vm.config.disks_size)
            self.vm.vanish()


def clone(call: Call, source: VirtualMachine, folder: Folder, name: str, spec: Any) -> Any:
    """Start a clone task and return its reference."""
    making = _Making()

    def begin() -> None:
        place = place_of(source, folder, spec)
        making.begin(place, copied(source, checked_name(name), place, spec))

    def work() -> Any:
        return making.finish(power_on=bool(spec.powerOn) and not spec.template)

    return call.start_task(source, "CloneVM_Task", work, begin=begin, undo=making.undo)


def place_of(source: VirtualMachine, folder: Folder, spec: Any) -> Place:
    """Return where a clone goes.

    Raises:
        vmodl.fault.InvalidArgument: A pool is missing, or host and pool do not belong together.
        vim.fault.InvalidDatastore: The host does not mount the datastore.
    """
    inventory, location = source.inventory, spec.location
    if "VirtualMachine" not in folder.kinds:
        raise faults.unsupported(f"{folder.name} holds no VMs.")
    pool = inventory.pool(location.pool) if location.pool is not None else source.pool
    if pool is None and not spec.template:
        # Templates are in no pool, so that their clones must name one.
        raise faults.invalid_argument(
            "spec.location.pool", "A specified parameter was not correct: spec.location.pool"
        )
    cluster = pool.cluster if pool else source.host.cluster
    datastore = _datastore(source, location)
    if location.host is not None:
        host = inventory.host(location.host)
        if host.cluster is not cluster:
            raise faults.invalid_argument(
                "spec.location.host", f"Host {host.name} is not in cluster {cluster.name}."
            )
    else:
        host = placement.host_for_new(cluster, datastore)
    if host.connection != "connected":
        raise faults.refuse(vmodl.fault.HostNotConnected, f"Host {host.name} is {host.connection}.")
    check_datastore(datastore, host)
    return Place(folder, host, None if spec.template else pool, datastore)


def _datastore(source: VirtualMachine, location: Any) -> Datastore:
    if location.datastore is None:
        return source.config.datastore
    return source.inventory.datastore(location.datastore)


def check_datastore(datastore: Datastore, host: Host) -> None:
    """Make sure that a host reaches a datastore.

    Raises:
        vim.fault.InvalidDatastore: It does not.
    """
    if not datastore.accessible or datastore not in host.datastores:
        raise faults.refuse(
            vim.fault.InvalidDatastore,
            f"Datastore '{datastore.name}' is not accessible from host {host.name}.",
            datastore=datastore.ref,
            name=datastore.name,
        )


def copied(source: VirtualMachine, name: str, place: Place, spec: Any) -> VmConfig:
    """Return the configuration of a clone: that of its source, with what the spec changes."""
    inventory = source.inventory
    config = source.config.copied(
        name=name,
        directory=name,
        datastore=place.datastore,
        uuid=str(uuid.uuid4()),
        instance_uuid=str(uuid.uuid4()),
        mac=inventory.next_mac(),
        created=inventory.world.clock.now(),
        template=bool(spec.template),
        changes=0,
        running=False,
    )
    if config.own_devices is not None:
        config.own_devices = [_copied_device(d, config) for d in config.own_devices]
    if spec.location.deviceChange:
        moved = vim.vm.ConfigSpec(deviceChange=spec.location.deviceChange)
        config = reconfigure.applied(config, moved, running=False)
    return reconfigure.applied(config, spec.config, running=False) if spec.config else config


def _copied_device(device: Any, config: VmConfig) -> Any:
    """Return a device of the source as the clone has it: own MAC, own files, no card held."""
    device = copy.copy(device)
    device.backing = copy.copy(device.backing)
    if isinstance(device, _dev.VirtualEthernetCard):
        device.macAddress = config.mac
    elif isinstance(device, _dev.VirtualDisk):
        file = device.backing.fileName.rpartition("/")[2]
        device.backing.fileName = f"[{config.datastore.name}] {config.directory}/{file}"
        device.backing.datastore = config.datastore.ref
    elif isinstance(device, Passthrough) and isinstance(device.backing, DynamicBacking):
        device.backing.assignedId = None
    return device


def create(call: Call, folder: Folder, spec: Any, pool: Any, host: Any) -> Any:
    """Start a task that makes a VM from nothing and return its reference."""
    inventory, making = folder.inventory, _Making()
    found = inventory.pool(pool)
    target = inventory.host(host) if host is not None else None

    def begin() -> None:
        store = re.match(r"\[(.+?)\]", (spec.files and spec.files.vmPathName) or "")
        if store is None:
            message = "A datastore must be named in config.files.vmPathName."
            raise faults.refuse(vim.fault.InvalidVmConfig, message, property="config.files")
        datastore = inventory.named_datastore(store[1], found.cluster.datacenter)
        place = Place(
            folder, target or placement.host_for_new(found.cluster, datastore), found, datastore
        )
        check_datastore(datastore, place.host)
        making.begin(place, new_config(place, spec))

    return call.start_task(
        folder,
        "CreateVM_Task",
        lambda: making.finish(power_on=False),
        begin=begin,
        undo=making.undo,
    )


def new_config(place: Place, spec: Any) -> VmConfig:
    """Return the configuration of a VM that is made from nothing.

    Raises:
        vmodl.MethodFault: A value makes no sense.
    """
    inventory = place.folder.inventory
    api = inventory.world.settings.api_version
    config = VmConfig(
        inventory=inventory,
        name=checked_name(spec.name or ""),
        directory=checked_name(spec.name or ""),
        datastore=place.datastore,
        network=place.host.networks[0],
        uuid=str(uuid.uuid4()),
        instance_uuid=str(uuid.uuid4()),
        mac=inventory.next_mac(),
        hardware=limits.hardware_number(spec.version)
        if spec.version
        else limits.newest_hardware(api),
        firmware="bios",
        guest_id="otherGuest",
        cpus=1,
        memory_mb=1024,
        disk_bytes=0,
        created=inventory.world.clock.now(),
        tools=False,
    )
    # A VM from nothing has its controllers, but no disk and no network card.
    skipped = (_dev.VirtualDisk, _dev.VirtualEthernetCard, _dev.VirtualSCSIController)
    config.own_devices = [d for d in config.devices() if not isinstance(d, skipped)]
    return reconfigure.applied(config, spec, running=False)
