"""ESXi hosts: state, capacity, maintenance, reboot."""

from __future__ import annotations

import math
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pyVmomi import vim, vmodl

from provision.gpu.types import AssignmentPolicy
from provision.simulator.engine.objects import method, prop
from provision.simulator.engine.tasks import NotYet
from provision.simulator.inventory import faults, hostinfo
from provision.simulator.inventory.cards import Card, device_groups
from provision.simulator.inventory.entity import Entity
from provision.simulator.inventory.hostconfig import GraphicsManager, PciPassthruSystem

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.inventory.compute import Cluster
    from provision.simulator.inventory.folder import Folder
    from provision.simulator.inventory.storage import Datastore, Network
    from provision.simulator.inventory.vm import VirtualMachine

# Long enough for a client to see the host go, however short the latency of a reboot is.
SHORTEST_REBOOT = 0.3
# Hosts have been up for a while when the world begins, so that a reboot shows.
UPTIME = timedelta(days=30)
# How often a host that is to enter maintenance mode looks whether VMs still run on it.
LOOK_SECONDS = 0.2


class Host(Entity):
    """One host. `memory` is bytes; `rebind` is whether passthrough changes need no reboot."""

    wsdl_type = vim.HostSystem
    prefix = "host"

    def __init__(self, name: str, cluster: Cluster, cpus: int, memory: int) -> None:
        self.cluster = cluster
        self.cpus = cpus
        self.sockets = 2
        self.memory = memory
        self.cards: list[Card] = []
        self.policy = AssignmentPolicy.PERFORMANCE
        self.default_graphics = "sharedDirect"
        self.connection = "connected"
        self.maintenance = False
        self.rebind = False
        self.reboots = True
        self.vms: dict[str, VirtualMachine] = {}
        self.datastores: list[Datastore] = []
        self.networks: list[Network] = []
        self.named_groups: dict[str, tuple[str, int]] = {}
        self.uuid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.{cluster.moid}"))
        self.boot_time: datetime = cluster.world.clock.now() - UPTIME
        super().__init__(cluster.inventory, name, cluster)
        self.passthru = PciPassthruSystem(self)
        self.graphics = GraphicsManager(self)

    @property
    def folder(self) -> Folder | None:
        """A host lies in its cluster, and in no folder."""
        return None

    @property
    def usable(self) -> bool:
        """Whether VMs may be powered on here."""
        return self.connection == "connected" and not self.maintenance

    @property
    def device_groups(self) -> dict[str, tuple[str, int]]:
        """The vendor device groups on offer: name to (profile of each member, members)."""
        known = device_groups(self.cards)
        offers = known.values()
        named = {
            n: (p, count) for n, (p, count) in self.named_groups.items() if (p, count) in offers
        }
        return known | named

    @property
    def running(self) -> list[VirtualMachine]:
        """The VMs that are powered on."""
        return [vm for vm in self.vms.values() if vm.power == "poweredOn"]

    @property
    def memory_reserved(self) -> int:
        """Bytes that running VMs have reserved."""
        return sum(vm.config.reservation_mb for vm in self.running) * 2**20

    def card(self, address: str) -> Card | None:
        """Return the card at a PCI address."""
        return next((card for card in self.cards if card.address == address), None)

    @prop("runtime")
    def runtime(self) -> Any:
        """Connection, power, maintenance."""
        return vim.host.RuntimeInfo(
            connectionState=self.connection,
            powerState="poweredOn" if self.connection == "connected" else "unknown",
            standbyMode="none",
            inMaintenanceMode=self.maintenance,
            inQuarantineMode=False,
            bootTime=self.boot_time,
            cryptoState="incapable",
        )

    @prop("runtime.connectionState")
    def connection_state(self) -> str:
        """Whether vCenter reaches the host."""
        return self.connection

    @prop("runtime.inMaintenanceMode")
    def in_maintenance(self) -> bool:
        """Whether no VM may run."""
        return self.maintenance

    @prop("vm")
    def vm(self) -> list[Any]:
        """The VMs that are registered here, templates among them."""
        return [vm.ref for vm in self.vms.values()]

    @prop("datastore")
    def datastore(self) -> list[Any]:
        """The datastores that the host mounts."""
        return [store.ref for store in self.datastores]

    @prop("network")
    def network(self) -> list[Any]:
        """The networks that the host has."""
        return [network.ref for network in self.networks]

    @prop("summary")
    def summary(self) -> Any:
        """What lists of hosts show."""
        return hostinfo.summary(self)

    @prop("summary.hardware")
    def summary_hardware(self) -> Any:
        """Size of the host."""
        return hostinfo.hardware_summary(self)

    @prop("summary.hardware.memorySize")
    def summary_memory(self) -> int:
        """Memory in bytes."""
        return self.memory

    @prop("summary.hardware.numCpuCores")
    def summary_cores(self) -> int:
        """Physical cores."""
        return self.cpus

    @prop("hardware")
    def hardware(self) -> Any:
        """All of the hardware."""
        return hostinfo.hardware(self)

    @prop("hardware.memorySize")
    def memory_size(self) -> int:
        """Memory in bytes."""
        return self.memory

    @prop("hardware.cpuInfo")
    def cpu_info(self) -> Any:
        """Packages, cores and threads."""
        return hostinfo.cpu_info(self)

    @prop("hardware.numaInfo")
    def numa_info(self) -> Any:
        """NUMA nodes with the PCI devices nearest to them."""
        return hostinfo.numa_info(self)

    @prop("hardware.pciDevice")
    def pci_device(self) -> list[Any]:
        """All PCI devices: a network card and the GPUs."""
        gpus = (device for card in self.cards for device in card.pci_devices())
        return [hostinfo.network_card(), *gpus]

    @prop("hardware.systemInfo")
    def system_info(self) -> Any:
        """Maker, model and UUID."""
        return hostinfo.system_info(self)

    @prop("config")
    def config(self) -> Any:
        """The configuration as far as the simulator has one."""
        return hostinfo.config(self)

    @prop("config.product")
    def product(self) -> Any:
        """Which ESXi it runs."""
        return hostinfo.product(self)

    @prop("config.pciPassthruInfo")
    def passthru_info(self) -> list[Any]:
        """What may be and is passed through."""
        return self.passthru.info()

    @prop("config.graphicsInfo")
    def graphics_info(self) -> list[Any]:
        """The GPUs, how they are shared and by which VMs."""
        return [card.graphics_info() for card in self.cards]

    @prop("config.graphicsConfig")
    def graphics_config(self) -> Any:
        """How GPUs shall be shared."""
        return self.graphics.config()

    @prop("config.sharedPassthruGpuTypes")
    def shared_gpu_types(self) -> list[str]:
        """The vGPU profiles on offer."""
        return self.graphics.profile_names()

    @prop("config.sharedGpuCapabilities")
    def shared_gpu_capabilities(self) -> list[Any]:
        """What VMs with each vGPU profile can do."""
        return self.graphics.capabilities()

    @prop("config.assignableHardwareBinding")
    def bindings(self) -> list[Any]:
        """Which device of which VM holds which card."""
        return hostinfo.bindings(self)

    @prop("capability")
    def capability(self) -> Any:
        """What the host supports."""
        return hostinfo.capability(self)

    @prop("capability.deviceRebindWithoutRebootSupported")
    def get_rebind(self) -> bool:
        """Whether passthrough changes need no reboot."""
        return self.rebind

    @prop("configManager")
    def config_manager(self) -> Any:
        """The managers of the host's configuration."""
        return vim.host.ConfigManager(
            pciPassthruSystem=self.passthru.ref, graphicsManager=self.graphics.ref
        )

    @method("EnterMaintenanceMode_Task")
    def enter_maintenance(
        self,
        call: Call,
        timeout: int,
        evacuatePoweredOffVms: bool | None = None,  # noqa: N803, FBT001 - WSDL's parameter
        maintenanceSpec: Any = None,  # noqa: N803 - WSDL's name
    ) -> Any:
        """Let no VM run; DRS first moves away those that it can, and people the others.

        Waits for `timeout` seconds, for ever where it is 0.
        """
        del evacuatePoweredOffVms, maintenanceSpec
        clock = self.world.clock
        until = clock.monotonic() + timeout if timeout > 0 else math.inf

        def enter() -> None:
            self._require_connected()
            self.inventory.evacuate(self)
            if self.running and clock.monotonic() < until:
                raise NotYet(LOOK_SECONDS)
            if self.running:
                names = ", ".join(vm.name for vm in self.running)
                raise faults.refuse(
                    vim.fault.Timedout,
                    f"Host {self.name} can't enter maintenance mode: {names} still run on it.",
                )
            self.maintenance = True
            self.touch()

        return call.start_task(self, "EnterMaintenanceMode_Task", enter, cancelable=True)

    @method("ExitMaintenanceMode_Task")
    def exit_maintenance(self, call: Call, timeout: int) -> Any:
        """Let VMs run again."""
        del timeout

        def leave() -> None:
            self._require_connected()
            if not self.maintenance:
                message = f"Host {self.name} is not in maintenance mode."
                raise faults.refuse(vim.fault.InvalidState, message)
            self.maintenance = False
            self.touch()

        return call.start_task(self, "ExitMaintenanceMode_Task", leave)

    @method("RebootHost_Task")
    def reboot_task(self, call: Call, force: bool) -> Any:  # noqa: FBT001 - WSDL's parameter
        """Restart the host: the task ends when the host goes down."""

        def reboot() -> None:
            self._require_connected()
            if not self.maintenance and not force:
                message = f"Host {self.name} must be in maintenance mode to be rebooted."
                raise faults.refuse(vim.fault.InvalidState, message)
            self.go_down()

        return call.start_task(self, "RebootHost_Task", reboot)

    def go_down(self) -> None:
        """Stop responding, and come back later unless the world says never."""
        for vm in self.running:
            vm.lose_power()
        self.connection = "notResponding"
        self.touch()
        if self.reboots:
            took = self.world.latency.of_task("RebootHost_Task")
            self.world.later(max(SHORTEST_REBOOT, took), self.come_up)

    def come_up(self) -> None:
        """Respond again, with every pending setting made real."""
        self.connection = "connected"
        self.boot_time = self.world.clock.now()
        for card in self.cards:
            card.reboot()
        self.touch()

    @method("DisconnectHost_Task")
    def disconnect(self, call: Call) -> Any:
        """Let vCenter lose sight of the host; its VMs go on."""
        return call.start_task(self, "DisconnectHost_Task", lambda: self.connect("disconnected"))

    @method("ReconnectHost_Task")
    def reconnect(
        self,
        call: Call,
        cnxSpec: Any = None,  # noqa: N803 - WSDL's name
        reconnectSpec: Any = None,  # noqa: N803 - WSDL's name
    ) -> Any:
        """Let vCenter see the host again."""
        del cnxSpec, reconnectSpec
        return call.start_task(self, "ReconnectHost_Task", lambda: self.connect("connected"))

    def connect(self, state: str) -> None:
        """Set the state of the connection."""
        self.connection = state
        self.touch()

    def _require_connected(self) -> None:
        if self.connection != "connected":
            raise faults.refuse(
                vmodl.fault.HostNotConnected, f"Host {self.name} is {self.connection}."
            )
