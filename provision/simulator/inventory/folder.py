"""Folders and datacenters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.engine.objects import method, prop
from provision.simulator.inventory import clone, faults, placement
from provision.simulator.inventory.entity import Entity, checked_name

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.inventory.compute import Cluster
    from provision.simulator.inventory.inventory import Inventory

VM_CHILDREN = ("Folder", "VirtualMachine", "VirtualApp")
HOST_CHILDREN = ("Folder", "ComputeResource")
STORE_CHILDREN = ("Folder", "Datastore", "StoragePod")
NETWORK_CHILDREN = ("Folder", "Network", "DistributedVirtualSwitch")
ROOT_CHILDREN = ("Folder", "Datacenter")


class Folder(Entity):
    """A folder of VMs, hosts, datastores, networks or datacenters."""

    wsdl_type = vim.Folder
    prefix = "group"

    def __init__(
        self,
        inventory: Inventory,
        name: str,
        parent: Entity | None,
        kinds: tuple[str, ...],
        moid: str | None = None,
    ) -> None:
        self.kinds = kinds
        self.children: dict[str, Entity] = {}
        super().__init__(inventory, name, parent, moid or inventory.folder_moid(kinds))

    @prop("childType")
    def child_type(self) -> list[Any]:
        """What the folder may hold."""
        return [getattr(vim, kind) for kind in self.kinds]

    @prop("childEntity")
    def child_entity(self) -> list[Any]:
        """What the folder holds."""
        return [child.ref for child in self.children.values()]

    def keep(self, entity: Entity) -> None:
        """Put an entity into the folder under its name."""
        self.children[entity.name] = entity
        entity.parent = self
        self.touch()

    def forget(self, entity: Entity) -> None:
        """Take an entity out of the folder."""
        if self.children.get(entity.name) is entity:
            del self.children[entity.name]
            self.touch()

    def require_free(self, name: str) -> None:
        """Make sure that a name is not taken.

        Raises:
            vim.fault.DuplicateName: It is.
        """
        if name in self.children:
            raise faults.duplicate(name, self.children[name].ref)

    @method("CreateFolder")
    def create_folder(self, _: Call, name: str) -> Any:
        """Make a folder in this one."""
        return self.make_folder(checked_name(name)).ref

    def make_folder(self, name: str) -> Folder:
        """Make a folder in this one.

        Raises:
            vim.fault.DuplicateName: The name is taken.
        """
        self.require_free(name)
        folder = Folder(self.inventory, name, self, self.kinds)
        self.keep(folder)
        return folder

    @method("CreateDatacenter")
    def create_datacenter(self, _: Call, name: str) -> Any:
        """Make an empty datacenter."""
        if "Datacenter" not in self.kinds:
            raise faults.unsupported(f"{self.name} is no folder of datacenters.")
        self.require_free(checked_name(name))
        datacenter = Datacenter(self.inventory, checked_name(name), self)
        self.keep(datacenter)
        return datacenter.ref

    @method("CreateVM_Task")
    def create_vm(self, call: Call, config: Any, pool: Any, host: Any = None) -> Any:
        """Make a VM from nothing."""
        return clone.create(call, self, config, pool, host)

    @method("MoveIntoFolder_Task")
    def move_into(self, call: Call, list: list[Any]) -> Any:  # noqa: A002 - WSDL's name
        """Move entities into this folder."""
        entities = [self.inventory.entity(ref) for ref in list]

        def move() -> None:
            for entity in entities:
                self.take(entity)

        return call.start_task(self, "MoveIntoFolder_Task", move)

    def take(self, entity: Entity) -> None:
        """Move an entity from its folder into this one.

        Raises:
            vmodl.fault.NotSupported: The folder holds other kinds of entities.
            vim.fault.InvalidFolder: The folder lies in the entity.
            vim.fault.DuplicateName: Its name is taken.
        """
        if not issubclass(entity.wsdl_type, tuple(self.child_type())):
            raise faults.unsupported(f"{self.name} can't hold {entity.name}.")
        if self._inside(entity):
            raise faults.refuse(
                vim.fault.InvalidFolder, f"{self.name} lies in {entity.name}.", target=self.ref
            )
        if self.children.get(entity.name) is entity:
            return
        self.require_free(entity.name)
        if (old := entity.folder) is not None:
            old.forget(entity)
        self.keep(entity)
        entity.touch()

    def _inside(self, entity: Entity) -> bool:
        """Tell whether this folder lies in the entity, or is it."""
        at: Entity | None = self
        while at is not None and at is not entity:
            at = at.parent
        return at is entity

    def destroy(self) -> None:
        """Delete the folder with all that it holds, VMs from disk.

        Raises:
            vim.fault.InvalidPowerState: A VM in it is powered on.
        """
        for child in list(self.children.values()):
            child.destroy()
        if isinstance(self.parent, Folder):
            self.parent.forget(self)
        self.world.remove(self)


class Datacenter(Entity):
    """A datacenter with its four folders."""

    wsdl_type = vim.Datacenter
    prefix = "datacenter"

    def __init__(self, inventory: Inventory, name: str, parent: Folder) -> None:
        super().__init__(inventory, name, parent)
        self.vm_folder = Folder(inventory, "vm", self, VM_CHILDREN)
        self.host_folder = Folder(inventory, "host", self, HOST_CHILDREN)
        self.store_folder = Folder(inventory, "datastore", self, STORE_CHILDREN)
        self.network_folder = Folder(inventory, "network", self, NETWORK_CHILDREN)

    @prop("vmFolder")
    def get_vm_folder(self) -> Any:
        """The folder of VMs and templates."""
        return self.vm_folder.ref

    @prop("hostFolder")
    def get_host_folder(self) -> Any:
        """The folder of clusters."""
        return self.host_folder.ref

    @prop("datastoreFolder")
    def get_datastore_folder(self) -> Any:
        """The folder of datastores."""
        return self.store_folder.ref

    @prop("networkFolder")
    def get_network_folder(self) -> Any:
        """The folder of networks."""
        return self.network_folder.ref

    @prop("datastore")
    def datastore(self) -> list[Any]:
        """All datastores."""
        return self.store_folder.child_entity()

    @prop("network")
    def network(self) -> list[Any]:
        """All networks and distributed port groups."""
        return [one for one in self.network_folder.child_entity() if isinstance(one, vim.Network)]

    @prop("configuration")
    def configuration(self) -> Any:
        """The newest hardware version is what new VMs get."""
        return vim.Datacenter.ConfigInfo(defaultHardwareVersionKey=self.inventory.newest_hardware)

    @property
    def clusters(self) -> list[Cluster]:
        """The clusters of this datacenter."""
        return [c for c in self.inventory.clusters.values() if c.datacenter is self]

    @method("PowerOnMultiVM_Task")
    def power_on_multi(self, call: Call, vm: list[Any], option: Any = None) -> Any:
        """Power VMs on; DRS chooses the host of each."""
        del option
        vms = [self.inventory.vm(ref) for ref in vm]
        work = placement.power_on_all(call, vms)
        return call.start_task(self, "PowerOnMultiVM_Task", work)

    def destroy(self) -> None:
        """Delete an empty datacenter.

        Raises:
            vmodl.fault.NotSupported: It has hosts.
        """
        if self.host_folder.children:
            raise faults.unsupported(f"{self.name} still has hosts.")
        self.vm_folder.destroy()
        if self.folder is not None:
            self.folder.forget(self)
        for folder in (self.host_folder, self.store_folder, self.network_folder):
            self.world.remove(folder)
        self.world.remove(self)
