"""Virtual machines and templates: what vSphere shows of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.engine.objects import prop
from provision.simulator.engine.schema import build
from provision.simulator.inventory import faults, vminfo
from provision.simulator.inventory.entity import Entity, checked_name
from provision.simulator.inventory.guest import Guest

if TYPE_CHECKING:
    from datetime import datetime

    from provision.simulator.engine.call import Call
    from provision.simulator.inventory.compute import ResourcePool
    from provision.simulator.inventory.folder import Folder
    from provision.simulator.inventory.host import Host
    from provision.simulator.inventory.inventory import Inventory
    from provision.simulator.inventory.vmconfig import VmConfig


class VmView(Entity):
    """The properties of a VM.

    `config` and what follows from it are unset while the VM is being made: the API reference
    says so of `VirtualMachine.config` for the first phases of a creation.
    """

    wsdl_type = vim.VirtualMachine
    prefix = "vm"

    def __init__(self, inventory: Inventory, config: VmConfig, folder: Folder, host: Host) -> None:
        self.config = config
        self.host = host
        self.pool: ResourcePool | None = None
        self.power = "poweredOff"
        self.boot_time: datetime | None = None
        self.made = False
        self.busy: str | None = None
        self.waiting: str | None = None
        self.question: str | None = None
        self.guest = Guest(self)
        super().__init__(inventory, config.name, folder)

    def _when_made(self, value: Callable[[], Any]) -> Any:
        return value() if self.made else None

    @prop("config")
    def get_config(self) -> Any:
        """The whole configuration."""
        return self._when_made(lambda: self.config.info(self.extra_config()))

    @prop("config.hardware")
    def hardware(self) -> Any:
        """CPUs, memory and devices."""
        return self._when_made(self.config.virtual_hardware)

    @prop("config.hardware.device")
    def get_devices(self) -> Any:
        """The virtual devices."""
        return self._when_made(self.config.devices)

    @prop("config.hardware.numCPU")
    def cpus(self) -> Any:
        """Virtual CPUs."""
        return self.config.cpus if self.made else None

    @prop("config.hardware.memoryMB")
    def memory(self) -> Any:
        """Memory in MiB."""
        return self.config.memory_mb if self.made else None

    @prop("config.extraConfig")
    def extra_config(self) -> Any:
        """The settings, with what the running guest publishes."""
        if not self.made:
            return None
        both = {**self.config.extra, **self.guest.published}
        return [build(vim.option.OptionValue, key=key, value=both[key]) for key in both]

    @prop("config.annotation")
    def annotation(self) -> Any:
        """What is written on the VM for people."""
        return self.config.annotation if self.made else None

    @prop("config.instanceUuid")
    def instance_uuid(self) -> Any:
        """The UUID that is unique in this vCenter."""
        return self.config.instance_uuid if self.made else None

    @prop("config.uuid")
    def uuid(self) -> Any:
        """The BIOS UUID."""
        return self.config.uuid if self.made else None

    @prop("config.template")
    def template(self) -> Any:
        """Whether it is a template."""
        return self.config.template if self.made else None

    @prop("config.firmware")
    def firmware(self) -> Any:
        """`efi` or `bios`."""
        return self.config.firmware if self.made else None

    @prop("config.version")
    def hardware_version(self) -> Any:
        """Hardware version, such as `vmx-19`."""
        return self.config.version if self.made else None

    @prop("config.guestId")
    def guest_id(self) -> Any:
        """The kind of operating system."""
        return self.config.guest_id if self.made else None

    @prop("config.changeVersion")
    def change_version(self) -> Any:
        """What changes with every reconfiguration."""
        return self.config.change_version if self.made else None

    @prop("config.memoryReservationLockedToMax")
    def locked(self) -> Any:
        """Whether all memory is reserved, however much it is."""
        return self.config.locked if self.made else None

    @prop("config.cpuHotAddEnabled")
    def cpu_hot_add(self) -> Any:
        """Whether CPUs can be added to the running VM."""
        return self.config.cpu_hot_add if self.made else None

    @prop("config.memoryAllocation")
    def memory_allocation(self) -> Any:
        """Reserved memory, limit and shares."""
        return self._when_made(lambda: self.config.allocation(cpu=False))

    @prop("config.memoryAllocation.reservation")
    def memory_reservation(self) -> Any:
        """Reserved memory in MiB."""
        return self.config.reservation_mb if self.made else None

    @prop("config.tools")
    def tools(self) -> Any:
        """The VMware Tools that are installed."""
        number = 12389 if self.config.tools else 0
        return self._when_made(lambda: vim.vm.ToolsConfigInfo(toolsVersion=number))

    @prop("config.deviceGroups")
    def device_groups(self) -> Any:
        """The vendor device groups."""
        return self._when_made(self.config.device_groups)

    @prop("config.files")
    def files(self) -> Any:
        """Where the files are."""
        return self._when_made(self.config.files)

    @prop("config.name")
    def config_name(self) -> Any:
        """The name."""
        return self.name if self.made else None

    @prop("runtime")
    def runtime(self) -> Any:
        """Host, power, question."""
        return vminfo.runtime(self)

    @prop("runtime.powerState")
    def power_state(self) -> str:
        """Whether it is on."""
        return self.power

    @prop("runtime.host")
    def runtime_host(self) -> Any:
        """The host that it is registered on."""
        return self.host.ref

    @prop("runtime.connectionState")
    def connection_state(self) -> str:
        """Whether vCenter can manage it."""
        return "connected" if self.host.connection == "connected" else "disconnected"

    @prop("runtime.question")
    def runtime_question(self) -> Any:
        """The question that it waits on."""
        return vminfo.question(self)

    @prop("guest")
    def get_guest(self) -> Any:
        """What VMware Tools report."""
        return vminfo.guest(self)

    @prop("guest.toolsRunningStatus")
    def tools_running(self) -> str:
        """Whether VMware Tools run."""
        return "guestToolsRunning" if self.guest.up else "guestToolsNotRunning"

    @prop("guest.toolsVersionStatus2")
    def tools_version(self) -> str:
        """Whether VMware Tools are installed, and current."""
        return vminfo.tools_version(self)

    @prop("guest.ipAddress")
    def ip_address(self) -> Any:
        """The first address."""
        return self.guest.addresses[0] if self.guest.addresses else None

    @prop("guest.net")
    def net(self) -> list[Any]:
        """The network cards with their addresses."""
        return vminfo.net(self)

    @prop("summary")
    def summary(self) -> Any:
        """What lists of VMs show."""
        return vminfo.summary(self)

    @prop("summary.config")
    def summary_config(self) -> Any:
        """Name, size and UUIDs."""
        return vminfo.summary_config(self)

    @prop("summary.quickStats")
    def quick_stats(self) -> Any:
        """How the VM is doing."""
        return vminfo.quick_stats(self)

    @prop("summary.runtime")
    def summary_runtime(self) -> Any:
        """Host, power, question."""
        return vminfo.runtime(self)

    @prop("datastore")
    def datastore(self) -> list[Any]:
        """The datastores with its files."""
        return [self.config.datastore.ref]

    @prop("network")
    def network(self) -> list[Any]:
        """The networks that it is on."""
        return [self.config.network.ref]

    @prop("resourcePool")
    def resource_pool(self) -> Any:
        """Its resource pool; a template has none."""
        return self.pool.ref if self.pool else None

    @prop("environmentBrowser")
    def environment_browser(self) -> Any:
        """What it may be made of."""
        return self.host.cluster.browser.ref

    @prop("storage")
    def storage(self) -> Any:
        """What it takes on datastores."""
        return vminfo.storage(self)

    @prop("capability")
    def capability(self) -> Any:
        """What can be done with it."""
        return vim.vm.Capability(
            snapshotOperationsSupported=not self.config.gpus, toolsSyncTimeSupported=True
        )

    @prop("guestHeartbeatStatus")
    def heartbeat(self) -> str:
        """Green while VMware Tools run."""
        return "green" if self.guest.up else "gray"

    @prop("layoutEx")
    def layout(self) -> Any:
        """Its files."""
        path = self.config.files().vmPathName
        file = vim.vm.FileLayoutEx.FileInfo(key=0, name=path, type="config", size=4096)
        return vim.vm.FileLayoutEx(file=[file], timestamp=self.config.created)

    @prop("disabledMethod")
    def disabled_method(self) -> list[str]:
        """What can't be called while the VM is being made."""
        return [] if self.made else ["Destroy_Task", "PowerOnVM_Task", "ReconfigVM_Task"]

    @property
    def on(self) -> bool:
        """Whether it is powered on."""
        return self.power == "poweredOn"

    def touch(self) -> None:
        """Tell everyone who waits for updates that the VM has changed."""
        self.world.touch(self)

    def move_to_pool(self, pool: ResourcePool | None) -> None:
        """Put the VM into another pool, a template into none."""
        if self.pool is not None:
            self.pool.vms.pop(self.moid, None)
            self.pool.touch()
        self.pool = pool
        if pool is not None:
            pool.vms[self.moid] = self  # type: ignore[assignment] # every VmView is a VirtualMachine
            pool.touch()

    def rename(self, name: str) -> None:
        """Give the VM another name; its files keep theirs."""
        super().rename(name)
        self.config.name = checked_name(name)

    def exclusive(
        self,
        call: Call,
        name: str,
        work: Callable[[], Any],
        *,
        begin: Callable[[], None] | None = None,
    ) -> Any:
        """Start a task that no other task of this VM may run beside.

        Returns:
            The reference of the task. It fails with `TaskInProgress` while another one runs.
        """

        def start() -> None:
            if self.busy is not None:
                raise faults.refuse(
                    vim.fault.TaskInProgress,
                    f"{self.busy} is running on virtual machine {self.name}.",
                    task=self.world.tasks.recent(self)[0],
                )
            if begin is not None:
                begin()
            self.busy = name

        def run() -> Any:
            result = work()
            self.busy = None
            return result

        def undo() -> None:
            self.busy = None

        return call.start_task(self, name, run, begin=start, undo=undo)
