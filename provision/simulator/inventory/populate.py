"""Fills an inventory with what a world file describes."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

from pyVmomi import vim, vmodl

from provision.errors import SpecError
from provision.gpu.catalogue import CardModel, catalogue
from provision.simulator import worldmodel
from provision.simulator.inventory import admission
from provision.simulator.inventory.cards import Card, signed
from provision.simulator.inventory.compute import Cluster
from provision.simulator.inventory.devices import Change, Passthrough
from provision.simulator.inventory.faults import text
from provision.simulator.inventory.folder import Datacenter, Folder
from provision.simulator.inventory.host import Host
from provision.simulator.inventory.inventory import Inventory
from provision.simulator.inventory.storage import Datastore, Network
from provision.simulator.inventory.switches import PortGroup, Switch
from provision.simulator.inventory.vm import VirtualMachine
from provision.simulator.inventory.vmconfig import VmConfig
from provision.simulator.worldmodel import expand


def populate(inventory: Inventory, world: worldmodel.World) -> None:
    """Make every object that the world file describes.

    Raises:
        SpecError: A VM that shall be powered on can't be.
    """
    with inventory.world.lock:
        for name, datacenter in world.datacenters.items():
            _Builder(inventory, name, datacenter).build()


class _Builder:
    """Makes one datacenter."""

    def __init__(self, inventory: Inventory, name: str, spec: worldmodel.Datacenter) -> None:
        self._inventory = inventory
        self._spec = spec
        self._datacenter = Datacenter(inventory, name, inventory.root)
        inventory.root.keep(self._datacenter)
        self._stores: dict[str, Datastore] = {}
        self._networks: dict[str, Network] = {}

    def build(self) -> None:
        datacenter = self._datacenter
        for name, store in self._spec.datastores.items():
            free = store.free if store.free is not None else store.capacity
            made = Datastore(self._inventory, name, datacenter, store.capacity, free)
            made.accessible = store.accessible
            datacenter.store_folder.keep(made)
            self._stores[name] = made
        for name in self._spec.networks:
            network = Network(self._inventory, name, datacenter)
            datacenter.network_folder.keep(network)
            self._networks[name] = network
        for name, groups in self._spec.switches.items():
            switch = Switch(self._inventory, name, datacenter)
            datacenter.network_folder.keep(switch)
            for group in groups:
                self._networks[group] = PortGroup(switch, group, datacenter)
                datacenter.network_folder.keep(self._networks[group])
        for path in self._spec.folders:
            self._folder(path)
        for name, cluster in self._spec.clusters.items():
            self._cluster(name, cluster)
        for name, template in self._spec.templates.items():
            self._templates(name, template)

    def _cluster(self, name: str, spec: worldmodel.Cluster) -> None:
        cluster = Cluster(self._inventory, name, self._datacenter, drs=spec.drs)
        self._inventory.clusters[cluster.moid] = cluster
        self._datacenter.host_folder.keep(cluster)
        for pool in spec.pools:
            cluster.pool.make_pool(pool)
        for key, entry in spec.hosts.items():
            for host_name in expand(key):
                self._host(host_name, entry, cluster)
        hosts = itertools.cycle(cluster.hosts)
        for key, vm in spec.vms.items():
            for vm_name in expand(key):
                host = next(h for h in hosts if vm.host in (None, h.name))
                self._vm(vm_name, vm, host)

    def _host(self, name: str, spec: worldmodel.Host, cluster: Cluster) -> None:
        host = Host(name, cluster, spec.cpus, spec.memory)
        host.sockets = spec.sockets
        host.policy = spec.policy
        host.default_graphics = spec.graphics
        host.connection = spec.connection
        host.maintenance = spec.maintenance
        host.rebind = spec.rebind
        host.reboots = spec.reboots
        host.named_groups = {name: (g.profile, g.members) for name, g in spec.device_groups.items()}
        host.cards = [_card(address, block, spec.graphics) for address, block in spec.card_blocks()]
        for card in host.cards:
            card.managed = spec.vgpu_manager
        names = self._stores if spec.datastores is None else spec.datastores
        host.datastores = [self._stores[store] for store in names]
        wired = self._networks if spec.networks is None else spec.networks
        host.networks = [self._networks[network] for network in wired]
        cluster.hosts.append(host)
        self._inventory.hosts[host.moid] = host

    def _folder(self, path: str | None) -> Folder:
        folder = self._datacenter.vm_folder
        for name in filter(None, (path or "").split("/")):
            found = folder.children.get(name)
            folder = found if isinstance(found, Folder) else folder.make_folder(name)
        return folder

    def _templates(self, key: str, spec: worldmodel.Template) -> None:
        hosts = [h for cluster in self._datacenter.clusters for h in cluster.hosts]
        for name in expand(key):
            host = next((h for h in hosts if spec.host in (None, h.name)), None)
            if host is None:
                raise SpecError(f"the template {name} needs a host", why="there is no such host")
            self._new(name, spec, host, template=True)

    def _vm(self, name: str, spec: worldmodel.Vm, host: Host) -> None:
        vm = self._new(name, spec, host, template=False)
        vm.move_to_pool(host.cluster.pool)
        if spec.power == "on":
            self._power_on(vm, spec)

    def _new(
        self, name: str, spec: worldmodel.Machine, host: Host, *, template: bool
    ) -> VirtualMachine:
        config = self._config(name, spec, host, template=template)
        if spec.gpu is not None:
            _add_gpus(config, spec.gpu, host)
        try:
            config.datastore.take(config.disks_size)
            vm = self._inventory.new_vm(config, self._folder(spec.folder), host)
        except vmodl.MethodFault as fault:
            raise SpecError(f"{name} can't be made", subject=name, why=text(fault)) from fault
        self._inventory.complete_vm(vm)
        return vm

    def _config(
        self, name: str, spec: worldmodel.Machine, host: Host, *, template: bool
    ) -> VmConfig:
        seed = f"{self._datacenter.name}/{spec.folder or ''}/{name}"
        instance = spec.instance_uuid if isinstance(spec, worldmodel.Vm) else None
        return VmConfig(
            inventory=self._inventory,
            name=name,
            directory=name,
            datastore=self._stores[spec.datastore] if spec.datastore else host.datastores[0],
            network=self._networks[spec.network] if spec.network else host.networks[0],
            uuid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"bios:{seed}")),
            instance_uuid=str(instance or uuid.uuid5(uuid.NAMESPACE_URL, f"instance:{seed}")),
            mac=self._inventory.next_mac(),
            hardware=spec.hardware,
            firmware=spec.firmware,
            guest_id=spec.guest_id,
            cpus=spec.cpus,
            memory_mb=spec.memory // 2**20,
            disk_bytes=spec.disk,
            created=self._inventory.world.clock.now(),
            template=template,
            tools=spec.tools,
            stubborn=spec.stubborn,
            addresses=spec.addresses,
            question=spec.question,
            memory_allocation=_reservation(spec.reserved),
            locked=spec.gpu is not None,
            extra=_settings(spec),
        )

    @staticmethod
    def _power_on(vm: VirtualMachine, spec: worldmodel.Vm) -> None:
        """Power a stranger's VM on, on the card that the world file names.

        A host that vCenter has lost sight of still runs what it ran before.
        """
        cards = [card for card in vm.host.cards if not spec.card or card.address in spec.card]
        try:
            vm.start_with(admission.grants(vm, vm.host, cards))
        except vmodl.MethodFault as fault:
            raise SpecError(
                f"{vm.name} can't be powered on", subject=vm.name, why=text(fault)
            ) from fault


def _reservation(size: int | None) -> Any:
    if size is None:
        return None
    return vim.ResourceAllocationInfo(reservation=size // 2**20)


def _settings(spec: worldmodel.Machine) -> dict[str, str]:
    """Return the settings of a machine: one with GPUs was set up as it must be."""
    if spec.gpu is None:
        return dict(spec.extra)
    mapping = {"pciPassthru.use64bitMMIO": "TRUE", "pciPassthru.64bitMMIOSizeGB": "4096"}
    return {**mapping, **spec.extra}


def _card(address: str, block: worldmodel.CardBlock, graphics: str) -> Card:
    card = Card.create(
        address,
        _model(block.model),
        mode=block.mode,
        vgpu_mode=block.vgpu_mode,
        numa=block.numa,
        active=block.active,
        default_graphics=graphics,
        label=block.label,
    )
    card.device = None if block.device is None else int(block.device, 16)
    card.board = block.board
    card.virtual_functions = block.virtual_functions
    return card


def _model(key: str) -> CardModel:
    model = catalogue().model(key)
    if model is None:
        raise SpecError(f"there is no card {key!r}")
    return model


def _add_gpus(config: VmConfig, gpu: worldmodel.GpuRequest, host: Host) -> None:
    """Give a machine of the world file its GPU devices."""
    devices: list[Any]
    if gpu.vgpu is not None:
        devices = [_vgpu(gpu.vgpu) for _ in range(gpu.count)]
    elif gpu.group is not None:
        profile, members = host.device_groups.get(gpu.group, ("", 0))
        config.groups = {1: gpu.group}
        devices = [_vgpu(profile, (1, n)) for n in range(members)]
    else:
        devices = [_passthrough(gpu.passthrough or "", host) for _ in range(gpu.count)]
    changes = [_added(device, -1 - n) for n, device in enumerate(devices)]
    api = config.inventory.world.settings.api_version
    config.own_devices = Change(config, api, running=False).apply(changes)


def _added(device: Any, key: int) -> Any:
    device.key = key
    return vim.vm.device.VirtualDeviceSpec(operation="add", device=device)


def _vgpu(profile: str, group: tuple[int, int] | None = None) -> Any:
    device = Passthrough(backing=Passthrough.VmiopBackingInfo(vgpu=profile))
    if group is not None:
        device.deviceGroupInfo = vim.vm.device.VirtualDevice.DeviceGroupInfo(
            groupInstanceKey=group[0], sequenceId=group[1]
        )
    return device


def _passthrough(what: str, host: Host) -> Any:
    """Return a device for a card: by model, or pinned to an address of the host."""
    card = host.card(what.rpartition("/")[2])
    if card is not None:
        backing = Passthrough.DeviceBackingInfo(
            id=card.address,
            deviceId=f"0x{card.device_id:04x}",
            systemId=host.uuid,
            vendorId=signed(card.model.vendor_id),
            deviceName=card.model.name,
        )
        return Passthrough(backing=backing)
    models = catalogue().matching(what)
    if not models:
        raise SpecError(f"there is no card {what!r} to pass through", subject=host.name)
    allowed = [
        Passthrough.AllowedDevice(vendorId=model.vendor_id, deviceId=device)
        for model in models
        for device in model.device_ids
    ]
    return Passthrough(backing=Passthrough.DynamicBackingInfo(allowedDevice=allowed))
