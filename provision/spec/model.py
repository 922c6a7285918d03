"""The lab, typed and frozen: what `lab.yaml` says once it has been read and checked."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from provision.spec.units import Size

# Names reach inventory host names, folder names and file names, so they are what a DNS label
# may be: nothing in them means anything to a shell, a path or a template.
LabName = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,28}[a-z0-9])?$")]
GroupName = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9]{0,28}[a-z0-9])?$")]

MAX_MACHINES = 10_000


class Frozen(BaseModel):
    """Base of all spec types: no unknown keys, no changes after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class VCenter(Frozen):
    """Where the lab goes."""

    server: str | None = None
    datacenter: str
    cluster: str
    datastore: str
    network: str = "VM Network"
    folder: str = "vdl"


class Guest(Frozen):
    """The user that cloud-init makes in each guest."""

    user: str = "vdl"
    ssh_key: str


class VgpuRequest(Frozen):
    """`count` NVIDIA vGPUs of one profile."""

    vgpu: str
    count: int = Field(default=1, ge=1, le=16)


class PassthroughRequest(Frozen):
    """Cards by model (Dynamic DirectPath I/O) or one by `HOST/ADDRESS` (DirectPath I/O)."""

    passthrough: str
    count: int = Field(default=1, ge=1, le=16)


class GroupRequest(Frozen):
    """A vendor device group (vSphere 8), such as two cards joined by NVLink."""

    group: str


GpuRequest = VgpuRequest | PassthroughRequest | GroupRequest


class Defaults(Frozen):
    """What a machine group gets where it says nothing."""

    cpus: int = Field(default=4, ge=1, le=768)
    memory: Size = Size.gib(16)
    disk: Size = Size.gib(40)


class MachineGroup(Frozen):
    """`count` equal machines."""

    count: int = Field(default=1, ge=0, le=MAX_MACHINES)
    cpus: int | None = Field(default=None, ge=1, le=768)
    memory: Size | None = None
    disk: Size | None = None
    gpu: GpuRequest | None = None


class VgpuDriver(Frozen):
    """The administrator's own guest driver package and licence token, on the controller."""

    package: str
    token: str


class Drivers(Frozen):
    """Which NVIDIA drivers the guests get."""

    datacenter: str | None = None
    vgpu: VgpuDriver | None = None


class BenchmarkRun(Frozen):
    """One payload run per combination of batch size and precision."""

    model: Literal["mnist", "vgg11", "vgg16", "vgg19"]
    batch_size: tuple[int, ...] = (64,)
    precision: tuple[Literal["fp32", "mixed_bf16", "mixed_fp16"], ...] = ("fp32",)
    data: str = "synthetic"


class Machine(Frozen):
    """One machine of the lab with every default filled in."""

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

    @property
    def name(self) -> str:
        """Name of the VM: `<lab>-<group>-<n>`, counted from 1."""
        return f"{self.lab}-{self.group}-{self.index}"

    @property
    def digest(self) -> str:
        """SHA-256 over everything the machine asks for; stamped on the VM as `vdl.spec`."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Lab(Frozen):
    """A whole lab file."""

    lab: LabName
    vcenter: VCenter
    template: str
    guest: Guest
    defaults: Defaults = Defaults()
    machines: dict[GroupName, MachineGroup] = Field(min_length=1)
    drivers: Drivers = Drivers()
    benchmark: tuple[BenchmarkRun, ...] = ()

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
                ssh_key=self.guest.ssh_key,
            )
            for name, group in self.machines.items()
            for n in range(1, group.count + 1)
        )
