"""The configuration of a VM as compact Python state, and what vSphere shows of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.inventory import devices, limits

if TYPE_CHECKING:
    from provision.simulator.inventory.inventory import Inventory
    from provision.simulator.inventory.storage import Datastore, Network

GUEST_NAMES = {"ubuntu64Guest": "Ubuntu Linux (64-bit)"}


@dataclass(slots=True)
class VmConfig:
    """Everything that a clone takes over from its source. Memory is MiB, disks are bytes.

    `own_devices` is None while the VM has the usual devices: one disk of `disk_bytes` and one
    network card. `changes` counts the reconfigurations.
    """

    inventory: Inventory
    name: str
    directory: str
    datastore: Datastore
    network: Network
    uuid: str
    instance_uuid: str
    mac: str
    hardware: int
    firmware: str
    guest_id: str
    cpus: int
    memory_mb: int
    disk_bytes: int
    created: datetime
    template: bool = False
    tools: bool = True
    stubborn: bool = False
    addresses: tuple[str, ...] | None = None
    question: str | None = None
    cores_per_socket: int = 1
    memory_allocation: Any = None
    cpu_allocation: Any = None
    locked: bool = False
    cpu_hot_add: bool = False
    memory_hot_add: bool = False
    annotation: str = ""
    latency: Any = None
    boot_options: Any = None
    managed_by: Any = None
    extra: dict[str, str] = field(default_factory=dict)
    own_devices: list[Any] | None = None
    groups: dict[int, str] = field(default_factory=dict)
    changes: int = 0
    running: bool = False

    @property
    def version(self) -> str:
        """The hardware version, such as `vmx-19`."""
        return f"vmx-{self.hardware:02}"

    @property
    def reservation_mb(self) -> int:
        """Reserved memory."""
        if self.locked:
            return self.memory_mb
        return int(self.memory_allocation.reservation or 0) if self.memory_allocation else 0

    @property
    def change_version(self) -> str:
        """What a reconfiguration may ask for to be sure that nobody else came first."""
        stamp = self.created.strftime("%Y-%m-%dT%H:%M:%S")
        return f"{stamp}.{self.changes:06}Z"

    @property
    def gpus(self) -> list[Any]:
        """The PCI passthrough devices."""
        return devices.passthrough_devices(self.own_devices or [])

    @property
    def disks_size(self) -> int:
        """Bytes that the disks take on the datastore."""
        if self.own_devices is None:
            return self.disk_bytes
        return devices.disk_bytes(self.own_devices)

    def devices(self) -> list[Any]:
        """All virtual devices."""
        return devices.standard(self) if self.own_devices is None else self.own_devices

    def next_mac(self) -> str:
        """Return a MAC address that no other VM has."""
        return self.inventory.next_mac()

    def copied(self, **changes: Any) -> VmConfig:
        """Return a copy that shares nothing that changes."""
        lists = {"extra": dict(self.extra), "groups": dict(self.groups)}
        return replace(self, **{**lists, **changes})

    def allocation(self, cpu: bool) -> Any:  # noqa: FBT001 - two kinds, two callers
        """Return the memory (or CPU) allocation as vSphere shows it."""
        given = self.cpu_allocation if cpu else self.memory_allocation
        return vim.ResourceAllocationInfo(
            reservation=(given.reservation if given else 0) if cpu else self.reservation_mb,
            expandableReservation=False,
            limit=given.limit if given and given.limit is not None else -1,
            shares=(given and given.shares)
            or vim.SharesInfo(shares=10 * self.memory_mb, level="normal"),
        )

    def files(self) -> Any:
        """Return where the VM's files are."""
        folder = f"[{self.datastore.name}] {self.directory}/"
        return vim.vm.FileInfo(
            vmPathName=f"{folder}{self.directory}.{'vmtx' if self.template else 'vmx'}",
            snapshotDirectory=folder,
            suspendDirectory=folder,
            logDirectory=folder,
        )

    def virtual_hardware(self) -> Any:
        """Return CPUs, memory and devices."""
        return vim.vm.VirtualHardware(
            numCPU=self.cpus,
            numCoresPerSocket=self.cores_per_socket,
            memoryMB=self.memory_mb,
            virtualICH7MPresent=False,
            virtualSMCPresent=False,
            device=self.devices(),
        )

    def device_groups(self) -> Any:
        """Return the vendor device groups; None without any."""
        if not self.groups:
            return None
        return vim.vm.VirtualDeviceGroups(
            deviceGroup=[
                vim.vm.VirtualDeviceGroups.VendorDeviceGroup(
                    groupInstanceKey=key, deviceGroupName=name
                )
                for key, name in self.groups.items()
            ]
        )

    def info(self, extra: list[Any]) -> Any:
        """Return the whole `config` property; `extra` are the settings to show."""
        return vim.vm.ConfigInfo(
            changeVersion=self.change_version,
            modified=self.created,
            createDate=self.created,
            name=self.name,
            guestFullName=guest_name(self.guest_id),
            version=self.version,
            uuid=self.uuid,
            instanceUuid=self.instance_uuid,
            template=self.template,
            guestId=self.guest_id,
            alternateGuestName="",
            annotation=self.annotation,
            files=self.files(),
            tools=vim.vm.ToolsConfigInfo(toolsVersion=12389 if self.tools else 0),
            flags=vim.vm.FlagInfo(),
            bootOptions=self.boot_options,
            defaultPowerOps=vim.vm.DefaultPowerOpInfo(
                powerOffType="soft", suspendType="hard", resetType="soft"
            ),
            hardware=self.virtual_hardware(),
            cpuAllocation=self.allocation(cpu=True),
            memoryAllocation=self.allocation(cpu=False),
            latencySensitivity=self.latency or vim.LatencySensitivity(level="normal"),
            memoryHotAddEnabled=self.memory_hot_add,
            cpuHotAddEnabled=self.cpu_hot_add,
            cpuHotRemoveEnabled=False,
            extraConfig=extra,
            datastoreUrl=[
                vim.vm.ConfigInfo.DatastoreUrlPair(name=self.datastore.name, url=self.datastore.url)
            ],
            firmware=self.firmware,
            managedBy=self.managed_by,
            memoryReservationLockedToMax=self.locked,
            deviceGroups=self.device_groups(),
        )

    def upgrade(self, version: str | None, api: str) -> None:
        """Set the hardware version, the newest one without a version.

        Raises:
            vim.fault.InvalidState: The release has no such hardware version.
            vim.fault.AlreadyUpgraded: The VM has it, or a newer one.
        """
        newest = limits.newest_hardware(api)
        self.hardware = limits.checked_upgrade(self.hardware, version, newest)


def guest_name(guest_id: str) -> str:
    """Return the guest's operating system in words."""
    return GUEST_NAMES.get(guest_id, guest_id.removesuffix("Guest"))
