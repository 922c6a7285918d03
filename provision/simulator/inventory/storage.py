"""Datastores, whose free space is accounted for, and networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.engine.objects import method, prop
from provision.simulator.inventory import faults
from provision.simulator.inventory.entity import Entity

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.inventory.folder import Datacenter
    from provision.simulator.inventory.host import Host
    from provision.simulator.inventory.inventory import Inventory
    from provision.simulator.inventory.vm import VirtualMachine


class Datastore(Entity):
    """A datastore. Sizes are bytes; disks are thick, so that they take their whole size."""

    wsdl_type = vim.Datastore
    prefix = "datastore"

    def __init__(
        self, inventory: Inventory, name: str, datacenter: Datacenter, capacity: int, free: int
    ) -> None:
        self.datacenter = datacenter
        self.capacity = capacity
        self.free = free
        self.accessible = True
        self.vms: dict[str, VirtualMachine] = {}
        super().__init__(inventory, name, datacenter.store_folder)

    @property
    def url(self) -> str:
        """Where hosts mount it."""
        return f"ds:///vmfs/volumes/{self.moid}/"

    @property
    def hosts(self) -> list[Host]:
        """The hosts that mount it."""
        return [h for h in self.inventory.hosts.values() if self in h.datastores]

    def take(self, size: int) -> None:
        """Use `size` more bytes (fewer, if it is negative).

        Raises:
            vim.fault.NoDiskSpace: They are not free.
        """
        self.require_room(size)
        self.free -= size
        self.touch()

    def require_room(self, size: int) -> None:
        """Make sure that `size` bytes are free.

        Raises:
            vim.fault.NoDiskSpace: They are not.
        """
        if size > self.free:
            raise faults.refuse(
                vim.fault.NoDiskSpace,
                f"Insufficient disk space on datastore '{self.name}': "
                f"{size // 2**20} MiB are needed, {self.free // 2**20} MiB are free.",
                file=f"[{self.name}]",
                datastore=self.name,
            )

    @prop("summary")
    def summary(self) -> Any:
        """Size and free space."""
        return vim.Datastore.Summary(
            datastore=self.ref,
            name=self.name,
            url=self.url,
            capacity=self.capacity,
            freeSpace=self.free,
            uncommitted=0,
            accessible=self.accessible,
            multipleHostAccess=True,
            type="VMFS",
            maintenanceMode="normal",
        )

    @prop("summary.accessible")
    def get_accessible(self) -> bool:
        """Whether hosts reach it."""
        return self.accessible

    @prop("info")
    def info(self) -> Any:
        """Free space and limits."""
        return vim.host.VmfsDatastoreInfo(
            name=self.name,
            url=self.url,
            freeSpace=self.free,
            maxFileSize=64 * 2**40,
            maxVirtualDiskCapacity=62 * 2**40,
            timestamp=self.world.clock.now(),
        )

    @prop("capability")
    def capability(self) -> Any:
        """What a VMFS datastore can do."""
        return vim.Datastore.Capability(
            directoryHierarchySupported=True,
            rawDiskMappingsSupported=True,
            perFileThinProvisioningSupported=True,
        )

    @prop("host")
    def host(self) -> list[Any]:
        """The hosts that mount it."""
        mount = vim.host.MountInfo(
            path=f"/vmfs/volumes/{self.moid}",
            accessMode="readWrite",
            mounted=True,
            accessible=self.accessible,
        )
        return [vim.Datastore.HostMount(key=h.ref, mountInfo=mount) for h in self.hosts]

    @prop("vm")
    def vm(self) -> list[Any]:
        """The VMs that have files on it."""
        return [vm.ref for vm in self.vms.values()]

    @method("RefreshDatastore")
    def refresh(self, _: Call) -> None:
        """Free space is always up to date."""

    @method("RefreshDatastoreStorageInfo")
    def refresh_storage_info(self, _: Call) -> None:
        """Free space is always up to date."""


class Network(Entity):
    """A standard port group."""

    wsdl_type = vim.Network
    prefix = "network"

    def __init__(self, inventory: Inventory, name: str, datacenter: Datacenter) -> None:
        self.datacenter = datacenter
        self.vms: dict[str, VirtualMachine] = {}
        super().__init__(inventory, name, datacenter.network_folder)

    def backing(self) -> Any:
        """Return the backing of a network card that is connected here."""
        return vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(
            deviceName=self.name, network=self.ref
        )

    @prop("summary")
    def summary(self) -> Any:
        """Name and state."""
        return vim.Network.Summary(network=self.ref, name=self.name, accessible=True, ipPoolName="")

    @prop("host")
    def host(self) -> list[Any]:
        """The hosts that have it."""
        return [h.ref for h in self.inventory.hosts.values() if self in h.networks]

    @prop("vm")
    def vm(self) -> list[Any]:
        """The VMs on it."""
        return [vm.ref for vm in self.vms.values()]
