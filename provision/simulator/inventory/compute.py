"""Clusters and resource pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.engine.objects import method, prop
from provision.simulator.inventory import faults, placevm
from provision.simulator.inventory.entity import Entity, checked_name
from provision.simulator.inventory.environment import EnvironmentBrowser

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.inventory.folder import Datacenter
    from provision.simulator.inventory.host import Host
    from provision.simulator.inventory.inventory import Inventory
    from provision.simulator.inventory.storage import Datastore, Network
    from provision.simulator.inventory.vm import VirtualMachine

MHZ = 2600


def allocation(reservation: int = 0, *, expandable: bool | None = None) -> Any:
    """Return a resource allocation without a limit and with normal shares."""
    return vim.ResourceAllocationInfo(
        reservation=reservation,
        expandableReservation=expandable,
        limit=-1,
        shares=vim.SharesInfo(shares=4000, level="normal"),
    )


class Cluster(Entity):
    """A cluster of hosts."""

    wsdl_type = vim.ClusterComputeResource
    prefix = "domain-c"

    def __init__(
        self, inventory: Inventory, name: str, datacenter: Datacenter, *, drs: bool
    ) -> None:
        self.datacenter = datacenter
        self.drs = drs
        self.hosts: list[Host] = []
        super().__init__(inventory, name, datacenter.host_folder, inventory.cluster_moid())
        self.pool = ResourcePool(inventory, "Resources", self, self)
        self.browser = EnvironmentBrowser(self)

    @property
    def datastores(self) -> list[Datastore]:
        """The datastores that a host of the cluster mounts."""
        return list(dict.fromkeys(store for host in self.hosts for store in host.datastores))

    @property
    def networks(self) -> list[Network]:
        """The networks that a host of the cluster has."""
        return list(dict.fromkeys(network for host in self.hosts for network in host.networks))

    @prop("host")
    def host(self) -> list[Any]:
        """The hosts."""
        return [host.ref for host in self.hosts]

    @prop("datastore")
    def datastore(self) -> list[Any]:
        """The datastores of all hosts."""
        return [store.ref for store in self.datastores]

    @prop("network")
    def network(self) -> list[Any]:
        """The networks of all hosts."""
        return [network.ref for network in self.networks]

    @prop("resourcePool")
    def resource_pool(self) -> Any:
        """The root resource pool."""
        return self.pool.ref

    @method("PlaceVm")
    def place_vm(self, _: Call, placementSpec: Any) -> Any:  # noqa: N803 - WSDL's name
        """Say which hosts could run a VM, and which one is best."""
        return placevm.place(self, placementSpec)

    @prop("environmentBrowser")
    def environment_browser(self) -> Any:
        """What VMs may be made of here."""
        return self.browser.ref

    @prop("configuration")
    def configuration(self) -> Any:
        """DRS and HA settings in the older form that many clients still read."""
        return vim.cluster.ConfigInfo(
            dasConfig=self._ha(), drsConfig=self._drs(), dasVmConfig=[], drsVmConfig=[], rule=[]
        )

    @prop("configurationEx")
    def configuration_ex(self) -> Any:
        """DRS and HA settings."""
        return vim.cluster.ConfigInfoEx(
            vmSwapPlacement="vmDirectory", dasConfig=self._ha(), drsConfig=self._drs()
        )

    @prop("configurationEx.drsConfig.enabled")
    def drs_enabled(self) -> bool:
        """Whether DRS is on."""
        return self.drs

    def _ha(self) -> Any:
        return vim.cluster.DasConfigInfo(enabled=False)

    def _drs(self) -> Any:
        return vim.cluster.DrsConfigInfo(
            enabled=self.drs,
            enableVmBehaviorOverrides=True,
            defaultVmBehavior="fullyAutomated",
            vmotionRate=3,
        )

    @prop("summary")
    def summary(self) -> Any:
        """Sums over the hosts."""
        usable = [host for host in self.hosts if host.usable]
        cores = sum(host.cpus for host in self.hosts)
        memory = sum(host.memory for host in self.hosts)
        return vim.ClusterComputeResource.Summary(
            totalCpu=cores * MHZ,
            totalMemory=memory,
            numCpuCores=cores,
            numCpuThreads=2 * cores,
            effectiveCpu=sum(host.cpus for host in usable) * MHZ,
            effectiveMemory=sum(host.memory for host in usable) // 2**20,
            numHosts=len(self.hosts),
            numEffectiveHosts=len(usable),
            overallStatus="green",
            currentFailoverLevel=0,
            numVmotions=0,
        )


class ResourcePool(Entity):
    """A resource pool; the root pool of a cluster is called Resources."""

    wsdl_type = vim.ResourcePool
    prefix = "resgroup"

    def __init__(self, inventory: Inventory, name: str, parent: Entity, cluster: Cluster) -> None:
        self.cluster = cluster
        self.pools: dict[str, ResourcePool] = {}
        self.vms: dict[str, VirtualMachine] = {}
        super().__init__(inventory, name, parent)

    @prop("owner")
    def owner_cluster(self) -> Any:
        """The cluster."""
        return self.cluster.ref

    @prop("vm")
    def vm(self) -> list[Any]:
        """The VMs in the pool; templates are in none."""
        return [vm.ref for vm in self.vms.values()]

    @prop("resourcePool")
    def resource_pool(self) -> list[Any]:
        """The pools in this pool."""
        return [pool.ref for pool in self.pools.values()]

    @prop("config")
    def config(self) -> Any:
        """No limits."""
        return vim.ResourceConfigSpec(
            entity=self.ref,
            cpuAllocation=allocation(expandable=True),
            memoryAllocation=allocation(expandable=True),
        )

    @prop("runtime")
    def runtime(self) -> Any:
        """What is reserved, and what of the cluster can still be."""
        usable = [host for host in self.cluster.hosts if host.usable]
        memory = sum(host.memory for host in usable)
        reserved = sum(host.memory_reserved for host in usable)
        return vim.ResourcePool.RuntimeInfo(
            memory=self._usage(memory, reserved),
            cpu=self._usage(sum(host.cpus for host in usable) * MHZ, 0),
            overallStatus="green",
        )

    @staticmethod
    def _usage(total: int, reserved: int) -> Any:
        return vim.ResourcePool.ResourceUsage(
            reservationUsed=reserved,
            reservationUsedForVm=reserved,
            unreservedForPool=total - reserved,
            unreservedForVm=total - reserved,
            overallUsage=0,
            maxUsage=total,
        )

    @prop("summary")
    def summary(self) -> Any:
        """Configuration and usage."""
        return vim.ResourcePool.Summary(
            name=self.name, config=self.config(), runtime=self.runtime()
        )

    @method("CreateResourcePool")
    def create_pool(self, _: Call, name: str, spec: Any) -> Any:
        """Make a pool in this one."""
        del spec
        return self.make_pool(checked_name(name)).ref

    def make_pool(self, name: str) -> ResourcePool:
        """Make a pool in this one.

        Raises:
            vim.fault.DuplicateName: The name is taken.
        """
        if name in self.pools:
            raise faults.duplicate(name, self.pools[name].ref)
        pool = ResourcePool(self.inventory, name, self, self.cluster)
        self.pools[name] = pool
        self.touch()
        return pool

    def destroy(self) -> None:
        """Delete the pool; its VMs move to the pool above.

        Raises:
            vmodl.fault.NotSupported: It is the root pool.
        """
        above = self.parent
        if not isinstance(above, ResourcePool):
            raise faults.unsupported("The root resource pool can't be deleted.")
        for vm in list(self.vms.values()):
            vm.move_to_pool(above)
        for pool in self.pools.values():
            pool.parent = above
            above.pools[pool.name] = pool
        del above.pools[self.name]
        above.touch()
        self.world.remove(self)
