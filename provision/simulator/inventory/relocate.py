"""Moving a VM to another host, pool, datastore or folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.inventory import faults
from provision.simulator.inventory.devices import Backing

if TYPE_CHECKING:
    from provision.simulator.inventory.host import Host
    from provision.simulator.inventory.vm import VirtualMachine


def relocate(vm: VirtualMachine, spec: Any) -> None:
    """Move a VM as the spec says.

    Raises:
        vmodl.fault.NotSupported: It runs and has a passthrough device.
        vim.fault.CannotAccessVmDevice: It has a card by address, which the host does not have.
        vim.fault.InvalidDatastore: The host does not mount the datastore.
        vim.fault.NoDiskSpace: The datastore has no room.
    """
    inventory = vm.inventory
    if vm.on:
        vm.require_no_passthrough("moved while it runs")
    host = inventory.host(spec.host) if spec.host is not None else vm.host
    pool = inventory.pool(spec.pool) if spec.pool is not None else vm.pool
    _require_cards(vm, host)
    store = inventory.datastore(spec.datastore) if spec.datastore else vm.config.datastore
    if store not in host.datastores:
        raise faults.refuse(
            vim.fault.InvalidDatastore,
            f"Datastore '{store.name}' is not accessible from host {host.name}.",
            datastore=store.ref,
            name=store.name,
        )
    if store is not vm.config.datastore:
        store.take(vm.config.disks_size)
        vm.config.datastore.take(-vm.config.disks_size)
        inventory.replace_config(vm, vm.config.copied(datastore=store))
    vm.move_to_host(host)
    if not vm.config.template:
        vm.move_to_pool(pool)
    if spec.folder is not None:
        inventory.folder(spec.folder).take(vm)
    vm.touch()


def _require_cards(vm: VirtualMachine, host: Host) -> None:
    """Make sure that a host has the cards which a VM's devices name by address.

    The API reference has a device's backing that is local to a host as an error of a migration
    where the device is connected (`CannotAccessVmDevice`), and a passthrough device can't be
    disconnected. Its backing names the system that the card is in.
    """
    for device in vm.config.gpus:
        backing = device.backing
        if isinstance(backing, Backing) and backing.systemId != host.uuid:
            raise faults.refuse(
                vim.fault.CannotAccessVmDevice,
                f"Device '{device.deviceInfo.label}' uses backing '{backing.id}', which is not "
                f"accessible from host {host.name}.",
                device=device.deviceInfo.label,
                backing=backing.id,
                connected=True,
            )
