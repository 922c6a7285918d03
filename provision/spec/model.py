"""The lab, typed and frozen: what `lab.yaml` says once it has been read and checked."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from provision.spec.benchmark import BenchmarkRun
from provision.spec.frozen import Frozen
from provision.spec.sshkey import PublicKey
from provision.spec.units import Size
from provision.spec.values import (
    ADDRESS,
    HOST,
    CardText,
    DeviceGroupText,
    DriverBranch,
    GroupName,
    HostName,
    InventoryName,
    LabelText,
    LabName,
    LocalPath,
    ModelText,
    ProfileText,
    Server,
    Sha256,
    UserName,
)

MAX_MACHINES = 10_000
# A VM's name becomes its guest's host name: one DNS label (RFC 1035, section 2.3.4).
LONGEST_NAME = 63


def _between(least: Size, most: Size) -> AfterValidator:
    def check(size: Size) -> Size:
        if not least <= size <= most:
            raise ValueError(f"must be between {least} and {most}, not {size}")
        return size

    return AfterValidator(check)


# The largest VM and disk of vSphere 8 (Broadcom Configuration Maximums); the least that a guest
# of today boots with.
Memory = Annotated[Size, _between(Size.gib(0.25), Size.gib(24 * 1024))]
Disk = Annotated[Size, _between(Size.gib(1), Size.gib(62 * 1024))]
Cpus = Annotated[int, Field(strict=True, ge=1, le=768)]
GpuCount = Annotated[int, Field(strict=True, ge=1, le=16)]
# What the newest release allows (Broadcom KB 309986); the plan knows what older ones do.
CardCount = Annotated[int, Field(strict=True, ge=1, le=128)]


class VCenter(Frozen):
    """Where the lab goes."""

    server: Server | None = Field(
        default=None, description="Host name of the vCenter; --server and VDL_SERVER come first."
    )
    datacenter: InventoryName = Field(description="Datacenter that holds the cluster.")
    cluster: InventoryName = Field(description="Cluster whose hosts have the GPUs.")
    datastore: InventoryName = Field(description="Datastore for the VMs' disks.")
    network: InventoryName = Field(
        default="VM Network", description="Network or distributed port group of the VMs."
    )
    folder: InventoryName = Field(
        default="vdl", description="VM folder for the lab; made where it does not exist."
    )


class Guest(Frozen):
    """The user that cloud-init makes in each guest, and whom its system trusts."""

    user: UserName = Field(default="vdl", description="Login name of that user.")
    ssh_key: PublicKey = Field(
        description="Path of the public SSH key that may log in; relative to this file."
    )
    ca_file: LocalPath | None = Field(
        default=None, description="Certificates (PEM) that guests trust besides their own."
    )


class VgpuRequest(Frozen):
    """`count` NVIDIA vGPUs of one profile."""

    vgpu: ProfileText = Field(
        description="vGPU profile as the host offers it, such as grid_a100d-10c."
    )
    count: GpuCount = Field(default=1, description="How many of them each machine gets.")


class LabelledCards(Frozen):
    """The cards that carry a hardware label, of one model."""

    label: LabelText = Field(description="Hardware label that the cards have in vCenter.")
    model: ModelText | None = Field(
        default=None, description="Their model, where cards of several models have the label."
    )


def _form(value: Any) -> str:
    """Return the tag of the way in which cards are named."""
    return "<label>" if isinstance(value, dict | LabelledCards) else "<text>"


class PassthroughRequest(Frozen):
    """Cards by model or label (Dynamic DirectPath I/O), or one by its address (DirectPath I/O)."""

    passthrough: Annotated[
        Annotated[CardText, Tag("<text>")] | Annotated[LabelledCards, Tag("<label>")],
        Discriminator(_form),
    ] = Field(
        description="A card's model, such as A100; one card, such as esx-02/0000:3b:00.0; "
        "or {label: NAME}."
    )
    count: CardCount = Field(default=1, description="How many cards each machine gets.")

    @property
    def pinned(self) -> tuple[str, str] | None:
        """Host and PCI address (in lower case) of the one card meant; None if by model."""
        if isinstance(self.passthrough, LabelledCards):
            return None
        match = re.fullmatch(rf"({HOST})/({ADDRESS})", self.passthrough)
        return (match[1], match[2].lower()) if match else None

    @property
    def model(self) -> str | None:
        """The model wanted; None where one card is pinned, or any with the label will do."""
        if isinstance(self.passthrough, LabelledCards):
            return self.passthrough.model
        return None if self.pinned else self.passthrough

    @property
    def label(self) -> str | None:
        """The hardware label that the cards must have; None where that does not matter."""
        return self.passthrough.label if isinstance(self.passthrough, LabelledCards) else None

    @property
    def cards(self) -> str:
        """What cards are meant, as a person reads it."""
        if self.label is None:
            return str(self.passthrough)
        return f"{self.model or 'cards'} labelled {self.label}"

    @model_validator(mode="after")
    def _one_card_is_one(self) -> Self:
        if self.pinned and self.count != 1:
            raise ValueError(
                f"{self.passthrough} is one card; ask for a model or a label to get several"
            )
        return self


class GroupRequest(Frozen):
    """A vendor device group (vSphere 8), such as two cards joined by NVLink."""

    group: DeviceGroupText = Field(
        description="Device group as the host offers it, such as Nvidia:2@grid_a100d-80c%NVLink."
    )


GPU_KINDS = {"vgpu": VgpuRequest, "passthrough": PassthroughRequest, "group": GroupRequest}


def _kind(value: Any) -> str | None:
    """Return the tag of a request, by the one key that names it; None where it is unclear."""
    if isinstance(value, BaseModel):
        found = [kind for kind, model in GPU_KINDS.items() if type(value) is model]
    else:
        found = [kind for kind in GPU_KINDS if isinstance(value, dict) and kind in value]
    return f"<{found[0]}>" if len(found) == 1 else None


GpuRequest = VgpuRequest | PassthroughRequest | GroupRequest
# The discriminator makes pydantic judge a request by its own kind instead of by all three.
_AnyGpu = Annotated[
    Annotated[VgpuRequest, Tag("<vgpu>")]
    | Annotated[PassthroughRequest, Tag("<passthrough>")]
    | Annotated[GroupRequest, Tag("<group>")],
    Discriminator(_kind),
]


class Defaults(Frozen):
    """What a machine group gets where it says nothing."""

    cpus: Cpus = Field(default=4, description="Virtual CPUs.")
    memory: Memory = Field(default=Size.gib(16), description="Memory, such as 32 GiB.")
    disk: Disk = Field(default=Size.gib(40), description="System disk, such as 60 GiB.")


class MachineGroup(Frozen):
    """`count` equal machines."""

    count: Annotated[int, Field(strict=True, ge=0, le=MAX_MACHINES)] = Field(
        default=1, description="How many machines the group has."
    )
    cpus: Cpus | None = Field(default=None, description="Virtual CPUs.")
    memory: Memory | None = Field(default=None, description="Memory, such as 32 GiB.")
    disk: Disk | None = Field(default=None, description="System disk, such as 60 GiB.")
    gpu: _AnyGpu | None = Field(default=None, description="The GPU of each machine, if any.")
    together: bool = Field(
        default=False,
        strict=True,
        description="All on one host; machines with one vGPU each, all on one card.",
    )
    spread: bool = Field(default=False, strict=True, description="Each on a host of its own.")
    host: HostName | None = Field(
        default=None, description="The one host for them, by its name in vCenter."
    )

    @model_validator(mode="after")
    def _can_stand_so(self) -> Self:
        if self.spread and self.together:
            raise ValueError("together and spread exclude each other; keep one")
        if self.spread and self.host is not None and self.count > 1:
            raise ValueError(
                f"spread asks for {self.count} hosts, host for {self.host} alone; keep one"
            )
        pinned = self.gpu.pinned if isinstance(self.gpu, PassthroughRequest) else None
        if pinned and self.host not in (None, pinned[0]):
            raise ValueError(f"the card is one of {pinned[0]}, so the host can't be {self.host}")
        return self


class VgpuDriver(Frozen):
    """The administrator's own guest driver package and licence token, on the controller."""

    package: LocalPath = Field(
        description="NVIDIA's guest driver package (.deb, .rpm or .run); relative to this file."
    )
    sha256: Sha256 | None = Field(
        default=None, description="SHA-256 of the package; another one is refused."
    )
    token: LocalPath = Field(
        description="Client configuration token (.tok); relative to this file."
    )


class Drivers(Frozen):
    """Which NVIDIA drivers the guests get."""

    datacenter: DriverBranch | None = Field(
        default=None, description='Branch of the data-centre driver for passthrough, such as "570".'
    )
    modules: Literal["auto", "open", "proprietary"] = Field(
        default="auto", description="Kind of kernel modules; auto follows card and branch."
    )
    vgpu: VgpuDriver | None = Field(default=None, description="Driver and licence of vGPU guests.")


# Where a machine goes, and not what it is: seen in vCenter, so it is no part of the digest.
AFFINITY = frozenset({"together", "spread", "host"})


class Machine(Frozen):
    """One machine of the lab with every default filled in; `ssh_key` is the key's text."""

    lab: str
    group: str
    index: int
    cpus: int
    memory: Size
    disk: Size
    gpu: GpuRequest | None
    template: str
    network: str
    user: str
    ssh_key: str
    together: bool = False
    spread: bool = False
    host: str | None = None

    @property
    def name(self) -> str:
        """Name of the VM: `<lab>-<group>-<n>`, counted from 1."""
        return f"{self.lab}-{self.group}-{self.index}"

    @property
    def digest(self) -> str:
        """SHA-256 over everything the machine is made from; stamped on the VM as `vdl.spec`."""
        text = json.dumps(self.model_dump(mode="json", exclude=set(AFFINITY)), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Lab(Frozen):
    """A deep-learning lab on vSphere: its machines, their drivers, what is measured on them."""

    lab: LabName = Field(description="Name of the lab; VMs are named <lab>-<group>-<n>.")
    vcenter: VCenter = Field(description="Where the lab goes.")
    template: InventoryName = Field(description="VM template that all machines are cloned from.")
    guest: Guest = Field(description="The user that cloud-init makes in each guest.")
    defaults: Defaults = Field(
        default=Defaults(), description="What a machine group gets where it says nothing."
    )
    machines: dict[GroupName, MachineGroup] = Field(
        min_length=1, description="Groups of equal machines, by name."
    )
    drivers: Drivers = Field(default=Drivers(), description="Which NVIDIA drivers the guests get.")
    benchmark: tuple[BenchmarkRun, ...] = Field(
        default=(), description="What `vdl bench` trains on each machine."
    )

    @field_validator("machines")
    @classmethod
    def _not_too_many(cls, machines: dict[str, MachineGroup]) -> dict[str, MachineGroup]:
        total = sum(group.count for group in machines.values())
        if total > MAX_MACHINES:
            raise ValueError(f"{total:,} machines in all are too many, at most {MAX_MACHINES:,}")
        return machines

    @model_validator(mode="after")
    def _names_are_host_names(self) -> Self:
        for name, group in self.machines.items():
            longest = f"{self.lab}-{name}-{group.count}"
            if len(longest) > LONGEST_NAME:
                raise ValueError(
                    f"{longest} is too long for a host name: {len(longest)} characters, "
                    f"at most {LONGEST_NAME}; shorten the lab's or the group's name"
                )
        return self

    def resolve(self) -> tuple[Machine, ...]:
        """Return every machine with its defaults filled in, in the order of the file."""
        return tuple(
            Machine(
                lab=self.lab,
                group=name,
                index=n,
                cpus=group.cpus or self.defaults.cpus,
                memory=group.memory or self.defaults.memory,
                disk=group.disk or self.defaults.disk,
                gpu=group.gpu,
                template=self.template,
                network=self.vcenter.network,
                user=self.guest.user,
                ssh_key=str(self.guest.ssh_key),
                together=group.together,
                spread=group.spread,
                host=group.host,
            )
            for name, group in self.machines.items()
            for n in range(1, group.count + 1)
        )
