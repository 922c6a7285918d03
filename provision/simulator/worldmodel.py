"""The simulated vCenter as its world file describes it: typed, frozen, with every default."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)
from pyVmomi import VmomiSupport

from provision.errors import SpecError
from provision.gpu.types import AssignmentPolicy, CardMode, VgpuMode
from provision.simulator.engine.faultplan import FaultPlan
from provision.simulator.engine.latency import parse_seconds, parse_span

_UNITS = {"MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_RANGE = re.compile(r"^(?P<head>[^\[\]]*)\[(?P<low>\d+)-(?P<high>\d+)\](?P<tail>[^\[\]]*)$")
# One entry of a world file may stand for this many objects.
MAX_RANGE = 100_000
# Buses that cards sit on where the world file gives no address: four for each of two sockets
# on the usual servers, further ones after them.
_BUSES = (0x3B, 0x86, 0xAF, 0xD8, 0x18, 0x5E, 0xB1, 0xE3)


def _size(text: object) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", text) if isinstance(text, str) else None
    if match is None or match[2] not in _UNITS:
        raise ValueError("a size has a number and a unit, such as 64 GiB")
    return int(float(match[1]) * _UNITS[match[2]])


def _seconds(text: object) -> float:
    try:
        return parse_seconds(text, "duration")
    except SpecError as error:
        raise ValueError(f"{error.what}; {error.fix}") from error


def _span(text: object) -> object:
    try:
        parse_span(text, "latency")
    except SpecError as error:
        raise ValueError(f"{error.what}; {error.fix}") from error
    return text


def _fault(entry: dict[str, Any]) -> dict[str, Any]:
    try:
        FaultPlan([entry])
    except SpecError as error:
        raise ValueError(f"{error.what}; {error.fix}" if error.fix else error.what) from error
    return entry


def _mig(value: object) -> object:
    return VgpuMode.MIG if value == "mig" else value


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, dict) else value


def _words(value: object) -> object:
    return [value] if isinstance(value, str) else value


def expand(name: str) -> tuple[str, ...]:
    """Return the names that `esx-[01-04]` stands for; a name without a range is itself.

    Raises:
        ValueError: The range runs backwards or is too long.
    """
    match = _RANGE.match(name)
    if match is None:
        return (name,)
    low, high = int(match["low"]), int(match["high"])
    if not low <= high < low + MAX_RANGE:
        raise ValueError(f"{name} is no range of 1 to {MAX_RANGE} names")
    width = len(match["low"])
    return tuple(f"{match['head']}{n:0{width}}{match['tail']}" for n in range(low, high + 1))


def _name(value: str) -> str:
    for name in expand(value)[:1]:
        # vCenter allows 80 characters and escapes / \ %.
        if not re.fullmatch(r"[^\s/\\%\[\]\x00-\x1f][^/\\%\[\]\x00-\x1f]{0,79}", name):
            raise ValueError("a name has 1 to 80 characters and none of / \\ % [ ]")
    return value


Size = Annotated[int, BeforeValidator(_size), Field(gt=0)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Span = Annotated[str, BeforeValidator(_span)]
FaultEntry = Annotated[dict[str, Any], AfterValidator(_fault)]
Name = Annotated[str, AfterValidator(_name)]
Address = Annotated[str, Field(pattern=r"^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$")]


class Frozen(BaseModel):
    """Base of all entries: no unknown keys, no changes after reading, no guessed types."""

    # A world file holds passwords: a traceback must not show what stands in it.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _api(version: str) -> str:
    if f"vim25/{version}" not in VmomiSupport.versionMap:
        known = sorted(k.partition("/")[2] for k in VmomiSupport.versionMap if "vim25/" in k)
        raise ValueError(f"there is no API version {version}; there is {', '.join(known[-6:])}")
    return version


def _user(value: object) -> object:
    return {"password": value} if isinstance(value, str) else value


class User(Frozen):
    """Someone who may log in. `privileges` are all that they hold; without any, every one."""

    password: str = Field(min_length=1)
    privileges: tuple[str, ...] | None = None


class VCenter(Frozen):
    """The vCenter itself. Times are seconds; a session ends after `session_timeout` idle.

    Without `instance_uuid`, each start is another vCenter: its VMs are other machines, with
    other host keys, than those of the start before.
    """

    api: Annotated[str, AfterValidator(_api)] = "8.0.3.0"
    instance_uuid: UUID | None = None
    users: dict[str, Annotated[User, BeforeValidator(_user)]] = Field(
        default_factory=lambda: {
            "administrator@vsphere.local": User.model_validate({"password": "simulated"})
        },
        min_length=1,
    )
    session_timeout: Seconds = 1800.0
    task_retention: Seconds = 600.0


class CardBlock(Frozen):
    """`count` equal cards of a host.

    `active: false` is a passthrough setting that waits for the host's reboot. Where a model has
    several forms, `device` is the PCI id of this one and `board` what its profiles call it.
    """

    model: str
    count: int = Field(default=1, ge=1, le=32)
    mode: CardMode = CardMode.SHARED
    vgpu_mode: Annotated[VgpuMode, BeforeValidator(_mig)] = VgpuMode.SAME_SIZE
    address: Address | None = None
    numa: int | None = Field(default=None, ge=0, le=15)
    active: bool = True
    label: str | None = None
    device: Annotated[str, Field(pattern=r"^[0-9a-f]{4}$")] | None = None
    board: str | None = None
    virtual_functions: int = Field(default=0, ge=0, le=64)


class DeviceGroup(Frozen):
    """A device group under a name of its own: cards joined by NVLink, whole vGPUs of them."""

    profile: str
    members: int = Field(default=2, ge=2, le=8)


class Host(Frozen):
    """One ESXi host, or a range of equal ones.

    `rebind` is whether a changed passthrough setting needs no reboot; `reboots: false` is a
    host that never comes back from one; without `vgpu_manager` it offers no vGPU profiles.
    """

    cpus: int = Field(default=64, ge=1, le=1024)
    sockets: int = Field(default=2, ge=1, le=16)
    memory: Size = 2**40
    cards: Annotated[tuple[CardBlock, ...], BeforeValidator(_one_or_many)] = ()
    policy: AssignmentPolicy = AssignmentPolicy.PERFORMANCE
    graphics: Literal["shared", "sharedDirect"] = "sharedDirect"
    connection: Literal["connected", "disconnected", "notResponding"] = "connected"
    maintenance: bool = False
    rebind: bool = False
    reboots: bool = True
    vgpu_manager: bool = True
    device_groups: dict[Name, DeviceGroup] = Field(default_factory=dict)
    datastores: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None

    def card_blocks(self) -> Iterator[tuple[str, CardBlock]]:
        """Return every single card with its address, in the order of the file."""
        given = {block.address for block in self.cards}
        free = (a for a in _addresses() if a not in given)
        for block in self.cards:
            for n in range(block.count):
                yield (block.address if block.address and n == 0 else next(free)), block


def _addresses() -> Iterator[str]:
    for bus in itertools.chain(_BUSES, (b for b in range(2, 256) if b not in _BUSES)):
        yield f"0000:{bus:02x}:00.0"


class GpuRequest(Frozen):
    """GPUs of a stranger's VM: exactly one of the three kinds."""

    vgpu: str | None = None
    passthrough: str | None = None
    group: str | None = None
    count: int = Field(default=1, ge=1, le=16)


class Machine(Frozen):
    """What templates and VMs have in common.

    `addresses` are what the guest reports as its own, instead of the address it really gets;
    an empty list is a guest that never reports one. A `stubborn` guest does not shut down when
    it is asked to. A VM with a `question` asks it at power-on and
    waits for the answer. `reserved` is guaranteed memory; with GPUs it is all of it anyway.
    """

    firmware: Literal["efi", "bios"] = "efi"
    hardware: int = Field(default=19, ge=4, le=30)
    cpus: int = Field(default=2, ge=1, le=768)
    memory: Size = 4 * 2**30
    reserved: Size | None = None
    disk: Size = 40 * 2**30
    tools: bool = True
    guest_id: str = "ubuntu64Guest"
    folder: str | None = None
    datastore: str | None = None
    network: str | None = None
    extra: dict[str, str] = Field(default_factory=dict)
    addresses: tuple[str, ...] | None = None
    stubborn: bool = False
    question: str | None = None
    gpu: GpuRequest | None = None


class Template(Machine):
    """A VM template."""

    host: str | None = None


class Vm(Machine):
    """A VM that was there before: a stranger's. `card` names the card (or cards) that it holds."""

    host: str | None = None
    power: Literal["on", "off"] = "off"
    card: Annotated[tuple[Address, ...], BeforeValidator(_words)] = ()
    instance_uuid: UUID | None = None


class Cluster(Frozen):
    """A cluster with its hosts and the strangers' VMs in it."""

    drs: bool = True
    pools: tuple[Name, ...] = ()
    hosts: dict[Name, Host] = Field(default_factory=dict)
    vms: dict[Name, Vm] = Field(default_factory=dict)


class DatastoreSize(Frozen):
    """A datastore of which more than its size matters."""

    capacity: Size
    free: Size | None = None
    accessible: bool = True


def _datastore(value: object) -> object:
    return value if isinstance(value, dict) else {"capacity": value}


class Datacenter(Frozen):
    """A datacenter. Without clusters, datastores or networks it is an empty one."""

    templates: dict[Name, Template] = Field(default_factory=dict)
    clusters: dict[Name, Cluster] = Field(default_factory=dict)
    datastores: dict[Name, Annotated[DatastoreSize, BeforeValidator(_datastore)]] = Field(
        default_factory=lambda: {
            "datastore1": DatastoreSize.model_validate({"capacity": "10 TiB"})
        },
        min_length=1,
    )
    switches: dict[Name, tuple[Name, ...]] = Field(default_factory=dict)
    networks: tuple[Name, ...] = ("VM Network",)
    folders: tuple[str, ...] = ()

    @field_validator("networks")
    @classmethod
    def _has_a_network(cls, networks: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not networks and not any(info.data.get("switches", {}).values()):
            raise ValueError("needs a network, or a switch with a port group")
        return networks

    @property
    def every_network(self) -> tuple[str, ...]:
        """The names of all networks, distributed port groups included."""
        return (*self.networks, *(name for groups in self.switches.values() for name in groups))


class World(Frozen):
    """A whole world file. Every top-level key that is not reserved is a datacenter."""

    vcenter: VCenter = VCenter()
    latency: dict[str, Span] = Field(default_factory=dict)
    faults: tuple[FaultEntry, ...] = ()
    guests: Literal["none", "ssh", "nspawn", "qemu"] = "none"
    datacenters: dict[Name, Datacenter] = Field(min_length=1)
