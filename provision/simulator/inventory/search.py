"""Finds entities by path, UUID, name and address."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.engine.objects import SimObject, method
from provision.simulator.inventory.compute import Cluster, ResourcePool
from provision.simulator.inventory.entity import Entity
from provision.simulator.inventory.folder import Datacenter, Folder

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.inventory.inventory import Inventory
    from provision.simulator.inventory.vm import VirtualMachine


def children(entity: Entity) -> Iterator[Entity]:
    """Yield what lies directly below an entity."""
    if isinstance(entity, Folder):
        yield from entity.children.values()
    elif isinstance(entity, Datacenter):
        yield from (
            entity.vm_folder,
            entity.host_folder,
            entity.store_folder,
            entity.network_folder,
        )
    elif isinstance(entity, Cluster):
        yield from (*entity.hosts, entity.pool)
    elif isinstance(entity, ResourcePool):
        yield from (*entity.pools.values(), *entity.vms.values())


def child(entity: Entity, name: str) -> Entity | None:
    """Return the child of that name."""
    if isinstance(entity, Folder):
        return entity.children.get(name)
    return next((c for c in children(entity) if c.name == name), None)


def _ref(entity: Entity | None) -> Any:
    return entity.ref if entity else None


class SearchIndex(SimObject):
    """`content.searchIndex`."""

    wsdl_type = vim.SearchIndex
    prefix = "SearchIndex"

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        super().__init__(inventory.world, "SearchIndex")

    @method("FindByInventoryPath")
    def by_path(self, _: Call, inventoryPath: str) -> Any:  # noqa: N803 - WSDL's name
        """Return the entity at a path such as `DC0/vm/vdl/x`."""
        entity: Entity | None = self.inventory.root
        for name in filter(None, inventoryPath.split("/")):
            entity = child(entity, name) if entity else None
        return _ref(entity)

    @method("FindChild")
    def find_child(self, _: Call, entity: Any, name: str) -> Any:
        """Return the child of that name."""
        return _ref(child(self.inventory.entity(entity), name))

    @method("FindByUuid")
    def by_uuid(
        self,
        _: Call,
        uuid: str,
        vmSearch: bool,  # noqa: N803, FBT001 - WSDL's parameter
        datacenter: Any = None,
        instanceUuid: bool | None = None,  # noqa: N803, FBT001 - WSDL's parameter
    ) -> Any:
        """Return a VM or host by BIOS or instance UUID."""
        return next(self._by_uuid(uuid, datacenter, vms=vmSearch, instance=instanceUuid), None)

    @method("FindAllByUuid")
    def all_by_uuid(
        self,
        _: Call,
        uuid: str,
        vmSearch: bool,  # noqa: N803, FBT001 - WSDL's parameter
        datacenter: Any = None,
        instanceUuid: bool | None = None,  # noqa: N803, FBT001 - WSDL's parameter
    ) -> list[Any]:
        """Return all VMs or hosts with this BIOS or instance UUID."""
        return list(self._by_uuid(uuid, datacenter, vms=vmSearch, instance=instanceUuid))

    def _by_uuid(
        self, uuid: str, datacenter: Any, *, vms: bool, instance: bool | None
    ) -> Iterator[Any]:
        wanted = uuid.lower()
        if not vms:
            yield from (host.ref for host in self.inventory.hosts.values() if host.uuid == wanted)
        elif instance:
            vm = self.inventory.by_instance_uuid.get(wanted)
            if vm is not None and self._within(vm, datacenter):
                yield vm.ref
        else:
            yield from self._vms(datacenter, lambda vm: vm.config.uuid == wanted)

    def _by_dns_name(self, name: str, datacenter: Any, *, vms: bool) -> Iterator[Any]:
        if vms:
            return self._vms(datacenter, lambda vm: vm.guest.hostname == name)
        return (host.ref for host in self.inventory.hosts.values() if host.name == name)

    def _by_ip(self, ip: str, datacenter: Any, *, vms: bool) -> Iterator[Any]:
        return self._vms(datacenter, lambda vm: vms and ip in vm.guest.addresses)

    def _vms(self, datacenter: Any, fits: Callable[[VirtualMachine], bool]) -> Iterator[Any]:
        for vm in self.inventory.vms.values():
            if vm.made and fits(vm) and self._within(vm, datacenter):
                yield vm.ref

    def _within(self, vm: VirtualMachine, datacenter: Any) -> bool:
        if datacenter is None:
            return True
        return vm.host.cluster.datacenter is self.inventory.entity(datacenter)

    @method("FindByDnsName")
    def by_dns_name(
        self,
        _: Call,
        dnsName: str,  # noqa: N803 - WSDL's name
        vmSearch: bool,  # noqa: N803, FBT001 - WSDL's parameter
        datacenter: Any = None,
    ) -> Any:
        """Return a VM by what its guest calls itself, or a host by name."""
        return next(self._by_dns_name(dnsName, datacenter, vms=vmSearch), None)

    @method("FindByIp")
    def by_ip(
        self,
        _: Call,
        ip: str,
        vmSearch: bool,  # noqa: N803, FBT001 - WSDL's parameter
        datacenter: Any = None,
    ) -> Any:
        """Return a VM by an address that its guest reports; hosts have none here."""
        return next(self._by_ip(ip, datacenter, vms=vmSearch), None)

    @method("FindAllByDnsName")
    def all_by_dns_name(
        self,
        _: Call,
        dnsName: str,  # noqa: N803 - WSDL's name
        vmSearch: bool,  # noqa: N803, FBT001 - WSDL's parameter
        datacenter: Any = None,
    ) -> list[Any]:
        """Return all VMs whose guests call themselves so, or all hosts of that name."""
        return list(self._by_dns_name(dnsName, datacenter, vms=vmSearch))

    @method("FindAllByIp")
    def all_by_ip(
        self,
        _: Call,
        ip: str,
        vmSearch: bool,  # noqa: N803, FBT001 - WSDL's parameter
        datacenter: Any = None,
    ) -> list[Any]:
        """Return all VMs that report this address; hosts have none here."""
        return list(self._by_ip(ip, datacenter, vms=vmSearch))

    @method("FindByDatastorePath")
    def by_datastore_path(self, _: Call, datacenter: Any, path: str) -> Any:
        """Return the VM whose configuration file has a path such as `[vsan] x/x.vmx`."""
        return next(self._vms(datacenter, lambda vm: vm.config.files().vmPathName == path), None)
