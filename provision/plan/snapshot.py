"""What vdl knows of a vCenter at one moment: frozen, plain values, no pyVmomi.

`provision.vsphere` reads it, `provision.plan` computes with it, tests write it by hand.
Managed object ids (`host-12`, `vm-34`) are kept as text: they are how an action names its
object later. Sizes are bytes unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from provision.gpu.types import AssignmentPolicy, CardMode, VgpuMode

STAMP_LAB = "vdl.lab"
STAMP_MACHINE = "vdl.machine"
STAMP_SPEC = "vdl.spec"
STAMP_RESOLVED = "vdl.resolved"


class Connection(StrEnum):
    """State of the link between vCenter and a host; values are vSphere's."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    NOT_RESPONDING = "notResponding"


class Power(StrEnum):
    """Power state of a VM."""

    ON = "on"
    OFF = "off"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class VCenterIdentity:
    """Which vCenter the snapshot is of."""

    instance_uuid: str
    api_version: str
    name: str
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class CardUse:
    """One VM's hold on a card. `profile` is None for a passthrough card."""

    vm_id: str
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """One physical GPU (PCI function) of a host.

    `vendor_id` and `device_id` are unsigned 16-bit numbers. `passthrough_active` is False
    while the host waits for the reboot that makes a changed passthrough setting real. `label` is
    the hardware label that an administrator gave it.
    """

    address: str
    vendor_id: int
    device_id: int
    name: str
    mode: CardMode
    vgpu_mode: VgpuMode = VgpuMode.SAME_SIZE
    passthrough_active: bool = True
    framebuffer: int = 0
    numa_node: int | None = None
    label: str | None = None
    uses: tuple[CardUse, ...] = ()


@dataclass(frozen=True, slots=True)
class VgpuProfileInfo:
    """A vGPU profile as a host offers it (`QueryConfigTarget().vgpuProfileInfo`)."""

    name: str
    framebuffer: int
    mig: bool = False


@dataclass(frozen=True, slots=True)
class GpuDevice:
    """One GPU device of a VM, whoever created it.

    `kind` is `vgpu`, `passthrough` (pinned or by model), `group` or `other`; `value` is the
    profile, the address or the `vendor:device` ids. `label` is the hardware label that the card
    must have; None where any will do.
    """

    key: int
    kind: str
    value: str
    group_key: int | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceGroupInfo:
    """A vendor device group as a host offers it (`vendorDeviceGroupInfo`), and its devices."""

    name: str
    members: tuple[GpuDevice, ...] = ()


@dataclass(frozen=True, slots=True)
class NumaNode:
    """One NUMA node of a host: its number, its logical CPUs, its memory in bytes."""

    id: int
    cpus: int
    memory: int


@dataclass(frozen=True, slots=True)
class Host:
    """One ESXi host of the cluster.

    `vgpu_manager` is False where cards are shared and still no vGPU profile is on offer.
    """

    id: str
    name: str
    connection: Connection
    in_maintenance: bool
    cpus: int
    memory: int
    memory_reserved: int
    api_version: str
    shared_direct: bool
    policy: AssignmentPolicy
    cards: tuple[Card, ...] = ()
    profiles: tuple[VgpuProfileInfo, ...] = ()
    device_groups: tuple[DeviceGroupInfo, ...] = ()
    max_vgpus_per_vm: int = 1
    system_id: str = ""
    datastores: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    numa_nodes: tuple[NumaNode, ...] = ()
    vgpu_manager: bool = True


@dataclass(frozen=True, slots=True)
class Vm:
    """One VM, ours or a stranger's.

    `network` is what its first network card is on, as `Network.wire` names it; empty where it
    has no card or one that is on nothing, None where nobody has looked. `uptime` is seconds since
    it was powered on; None where it is off or vCenter does not know yet.
    """

    id: str
    name: str
    path: str
    instance_uuid: str
    power: Power
    host_id: str | None
    cpus: int
    memory: int
    memory_reserved: int
    gpus: tuple[GpuDevice, ...] = ()
    stamps: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    tools_running: bool = False
    addresses: tuple[str, ...] = ()
    guestinfo: Mapping[str, str] = field(default_factory=dict)
    datastores: tuple[str, ...] = ()
    question: str | None = None
    network: str | None = None
    uptime: int | None = field(default=None, compare=False)

    @property
    def lab(self) -> str | None:
        """The lab that owns the VM, or None for a stranger's."""
        return self.stamps.get(STAMP_LAB)

    @property
    def machine(self) -> str | None:
        """The machine of the lab that this VM is."""
        return self.stamps.get(STAMP_MACHINE)


@dataclass(frozen=True, slots=True)
class Template:
    """One VM template. `hardware` is the number in `vmx-19`."""

    id: str
    name: str
    path: str
    firmware: str
    hardware: int
    tools: bool
    guest_id: str
    disk: int
    change_version: str
    gpus: tuple[GpuDevice, ...] = ()


@dataclass(frozen=True, slots=True)
class Datastore:
    """One datastore."""

    id: str
    name: str
    free: int
    accessible: bool = True


@dataclass(frozen=True, slots=True)
class Network:
    """One network or distributed port group.

    `key` is how network cards name a distributed port group; that of another network is its id.
    """

    id: str
    name: str
    key: str = ""

    @property
    def wire(self) -> str:
        """What `Vm.network` holds where a VM's card is on this network."""
        return self.key or self.id


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a plan is computed from, read in a bounded number of round trips.

    `vms` holds every VM of the datacenter that is not a template; `cluster_id`,
    `resource_pool_id`, `datacenter_id` and `vm_folder_id` name where new VMs go. They are
    None where no such object exists, which is a finding and no error. What is missing to move
    VMs matters to plans that move one.
    """

    vcenter: VCenterIdentity
    datacenter: str
    cluster: str
    datacenter_id: str | None = None
    cluster_id: str | None = None
    resource_pool_id: str | None = None
    vm_folder_id: str | None = None
    drs: bool = False
    hosts: tuple[Host, ...] = ()
    vms: tuple[Vm, ...] = ()
    templates: tuple[Template, ...] = ()
    datastores: tuple[Datastore, ...] = ()
    networks: tuple[Network, ...] = ()
    privileges_missing: tuple[str, ...] = ()
    privileges_missing_to_move: tuple[str, ...] = ()
