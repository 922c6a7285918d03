"""The inventory as a whole: its root, its look-ups, and how VMs come and go."""

from __future__ import annotations

import itertools
import uuid
from typing import Any, TypeVar

from pyVmomi import vim, vmodl

from provision.simulator.engine.objects import SimObject
from provision.simulator.engine.world import World
from provision.simulator.guests.backend import GuestBackend, NoGuests
from provision.simulator.inventory import faults, limits, placement
from provision.simulator.inventory.checkers import CompatibilityChecker, ProvisioningChecker
from provision.simulator.inventory.compute import Cluster, ResourcePool
from provision.simulator.inventory.entity import Entity
from provision.simulator.inventory.events import EventManager
from provision.simulator.inventory.folder import ROOT_CHILDREN, Folder
from provision.simulator.inventory.host import Host
from provision.simulator.inventory.managers import (
    AuthorizationManager,
    CustomFieldsManager,
    OptionManager,
)
from provision.simulator.inventory.search import SearchIndex
from provision.simulator.inventory.storage import Datastore, Network
from provision.simulator.inventory.vm import VirtualMachine
from provision.simulator.inventory.vmconfig import VmConfig

E = TypeVar("E", bound=SimObject)

_FOLDER_MOIDS = {"Datacenter": "d", "ComputeResource": "h", "Datastore": "s", "Network": "n"}


class Inventory:
    """Everything that the vCenter manages. Its methods are called under the world's lock.

    Attributes:
        guests: What stands behind the VMs.
        by_instance_uuid: Finished VMs by their instance UUID.
    """

    def __init__(self, world: World, guests: GuestBackend | None = None) -> None:
        self.world = world
        self.guests: GuestBackend = guests or NoGuests()
        self.hosts: dict[str, Host] = {}
        self.clusters: dict[str, Cluster] = {}
        self.vms: dict[str, VirtualMachine] = {}
        self.by_instance_uuid: dict[str, VirtualMachine] = {}
        self.custom_fields = CustomFieldsManager(self)
        self._macs = itertools.count()
        self._numbers = itertools.count(2)
        self.root = Folder(self, "Datacenters", None, ROOT_CHILDREN, "group-d1")
        content = world.service.content
        content.rootFolder = self.root
        content.searchIndex = SearchIndex(self)
        content.customFieldsManager = self.custom_fields
        content.authorizationManager = AuthorizationManager(world, "AuthorizationManager")
        content.eventManager = EventManager(self)
        content.vmProvisioningChecker = ProvisioningChecker(self)
        content.vmCompatibilityChecker = CompatibilityChecker(self)
        content.setting = OptionManager(world, "VpxSettings")

    @property
    def newest_hardware(self) -> str:
        """The hardware version that new VMs get."""
        return f"vmx-{limits.newest_hardware(self.world.settings.api_version):02}"

    def folder_moid(self, kinds: tuple[str, ...]) -> str:
        """Return an id for a folder, with vCenter's letter for what it holds."""
        letter = next((_FOLDER_MOIDS[kind] for kind in kinds if kind in _FOLDER_MOIDS), "v")
        return f"group-{letter}{next(self._numbers)}"

    def cluster_moid(self) -> str:
        """Return an id for a cluster."""
        return f"domain-c{next(self._numbers)}"

    def next_mac(self) -> str:
        """Return a MAC address of the range that vCenter hands out (00:50:56:80 to bf)."""
        number = next(self._macs)
        high, rest = divmod(number, 0x10000)
        return f"00:50:56:{0x80 + high % 0x40:02x}:{rest >> 8:02x}:{rest & 0xFF:02x}"

    def _resolve(self, ref: Any, kind: type[E]) -> E:
        found = self.world.resolve(ref)
        if not isinstance(found, kind):
            raise vmodl.fault.ManagedObjectNotFound(obj=ref)
        return found

    def entity(self, ref: Any) -> Entity:
        """Return the entity of a reference.

        Raises:
            vmodl.fault.ManagedObjectNotFound: There is none (any more); so for all look-ups.
        """
        return self._resolve(ref, Entity)

    def folder(self, ref: Any) -> Folder:
        """Return the folder of a reference."""
        return self._resolve(ref, Folder)

    def host(self, ref: Any) -> Host:
        """Return the host of a reference."""
        return self._resolve(ref, Host)

    def pool(self, ref: Any) -> ResourcePool:
        """Return the resource pool of a reference."""
        return self._resolve(ref, ResourcePool)

    def vm(self, ref: Any) -> VirtualMachine:
        """Return the VM of a reference."""
        return self._resolve(ref, VirtualMachine)

    def datastore(self, ref: Any) -> Datastore:
        """Return the datastore of a reference."""
        return self._resolve(ref, Datastore)

    def network(self, ref: Any) -> Network:
        """Return the network of a reference."""
        return self._resolve(ref, Network)

    def named_datastore(self, name: str, datacenter: Any) -> Datastore:
        """Return the datastore of that name.

        Raises:
            vim.fault.InvalidDatastorePath: There is none.
        """
        found = datacenter.store_folder.children.get(name)
        if not isinstance(found, Datastore):
            message = f"There is no datastore '{name}'."
            raise faults.refuse(
                vim.fault.InvalidDatastorePath, message, name=name, datastorePath=f"[{name}]"
            )
        return found

    @staticmethod
    def folder_of(entity: Entity) -> Folder | None:
        """Return the folder that an entity lies in; None for pools and the root."""
        return entity.parent if isinstance(entity.parent, Folder) else None

    def new_vm(self, config: VmConfig, folder: Folder, host: Host) -> VirtualMachine:
        """Put a VM into the inventory that is still being made."""
        vm = VirtualMachine(self, config, folder, host)
        self.vms[vm.moid] = vm
        host.vms[vm.moid] = vm
        config.datastore.vms[vm.moid] = vm
        config.network.vms[vm.moid] = vm
        folder.keep(vm)
        host.touch()
        return vm

    def complete_vm(self, vm: VirtualMachine) -> None:
        """Show the configuration of a VM that is now made."""
        vm.made = True
        self._claim_uuid(vm, vm.config)
        vm.touch()

    def replace_config(self, vm: VirtualMachine, config: VmConfig) -> None:
        """Give a VM another configuration and keep all look-ups right."""
        old = vm.config
        self.by_instance_uuid.pop(old.instance_uuid, None)
        self._claim_uuid(vm, config)
        for before, after in ((old.datastore, config.datastore), (old.network, config.network)):
            before.vms.pop(vm.moid, None)
            after.vms[vm.moid] = vm
        vm.config = config

    def _claim_uuid(self, vm: VirtualMachine, config: VmConfig) -> None:
        """Keep instance UUIDs unique: of two equal ones vCenter changes the later."""
        if self.by_instance_uuid.get(config.instance_uuid, vm) is not vm:
            config.instance_uuid = str(uuid.uuid4())
        self.by_instance_uuid[config.instance_uuid] = vm

    def forget_vm(self, vm: VirtualMachine) -> None:
        """Take a VM out of all look-ups."""
        self.vms.pop(vm.moid, None)
        if self.by_instance_uuid.get(vm.config.instance_uuid) is vm:
            del self.by_instance_uuid[vm.config.instance_uuid]

    @staticmethod
    def evacuate(host: Host) -> None:
        """Let DRS move running VMs away from a host."""
        placement.evacuate(host)
