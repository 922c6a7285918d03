"""VMs and templates as entries of a world file: sizes, GPUs and places, nothing of their guests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim

from provision.gpu.catalogue import catalogue
from provision.plan.snapshot import STAMP_LAB, GpuDevice
from provision.vsphere.collector import Found
from provision.vsphere.devices import VmConfig, disk_bytes
from provision.vsphere.record_groups import group_name, known_profile
from provision.vsphere.record_hosts import MIB, mib
from provision.vsphere.record_names import Names
from provision.vsphere.vm_reader import SETTING_PREFIX, STAMP_PREFIX

VM_PATHS = (
    "name",
    "parent",
    "runtime.host",
    "runtime.powerState",
    "datastore",
    "network",
    "config.instanceUuid",
    "config.template",
    "config.firmware",
    "config.version",
    "config.guestId",
    "config.memoryAllocation.reservation",
    "config.memoryReservationLockedToMax",
    "config.hardware.numCPU",
    "config.hardware.memoryMB",
    "config.hardware.device",
    "config.deviceGroups",
    "config.extraConfig",
    "guest.toolsVersionStatus2",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """A VM or template that is to be recorded."""

    found: Found
    config: VmConfig

    @classmethod
    def of(cls, found: Found) -> Machine:
        """Return a VM or template with `VM_PATHS`."""
        return cls(found, VmConfig.of(found.values))

    @property
    def template(self) -> bool:
        """Whether it is a template."""
        return bool(self.found.get("config.template"))

    @property
    def on(self) -> bool:
        """Whether it runs."""
        return bool(self.found.get("runtime.powerState") == "poweredOn")

    @property
    def disk(self) -> int:
        """Bytes of all disks, at the size that the guest sees; at least 1 MiB."""
        disks = [d for d in self.config.devices if isinstance(d, vim.vm.device.VirtualDisk)]
        return max(MIB, sum(disk_bytes(disk) // MIB * MIB for disk in disks))


def machine_entry(machine: Machine, places: Mapping[str, Any]) -> dict[str, Any]:
    """Return what entries of VMs and templates have in common.

    Args:
        machine: The VM or template.
        places: `host`, `folder`, `datastore` and `network` under their recorded names.
    """
    found, config = machine.found, machine.config
    digits = re.search(r"\d+", found.get("config.version") or "")
    status = found.get("guest.toolsVersionStatus2") or "guestToolsNotInstalled"
    reserved = found.get("config.memoryAllocation.reservation") or 0
    return {
        **{key: value for key, value in places.items() if value},
        "cpus": config.cpus or 1,
        "memory": mib((config.memory_mib or 4) * MIB),
        **({"reserved": mib(reserved * MIB)} if reserved and not config.gpus else {}),
        "disk": mib(machine.disk),
        "firmware": found.get("config.firmware") or "bios",
        "hardware": int(digits[0]) if digits else 19,
        "tools": status != "guestToolsNotInstalled",
        "guest_id": found.get("config.guestId") or "otherGuest64",
    }


def stamps(config: VmConfig) -> dict[str, str]:
    """Return what vdl has written on a VM of its own; of a stranger's, nothing."""
    if STAMP_LAB not in config.extra:
        return {}
    kept = (STAMP_PREFIX, SETTING_PREFIX)
    return {key: value for key, value in sorted(config.extra.items()) if key.startswith(kept)}


def gpu_entry(config: VmConfig, names: Names) -> dict[str, Any] | None:
    """Return the GPUs of a VM; None without any.

    Raises:
        ValueError: A world file can't describe them; the message says why.
    """
    gpus = [gpu for gpu in config.gpus if gpu.kind != "other"]
    if not gpus:
        return None
    if len({gpu.kind for gpu in gpus}) > 1:
        raise ValueError("it has several kinds of GPUs")
    if gpus[0].kind == "group":
        return {"group": group_name(_group(gpus), names)}
    return {"vgpu": _vgpus, "passthrough": _cards}[gpus[0].kind](gpus)


def changed_profiles(config: VmConfig) -> list[str]:
    """Return which vGPU profiles `gpu_entry` puts another one for, in words."""
    names = sorted({gpu.value for gpu in config.gpus if gpu.kind == "vgpu"})
    return [
        f"its vGPU {name} is recorded as {known_profile(name)}"
        for name in names
        if catalogue().profile(name) is None
    ]


def _vgpus(gpus: Sequence[GpuDevice]) -> dict[str, Any]:
    found = {known_profile(gpu.value) for gpu in gpus}
    if len(found) > 1:
        raise ValueError("it has vGPUs of several profiles")
    return {"vgpu": found.pop(), **_count(gpus)}


def _group(gpus: Sequence[GpuDevice]) -> str:
    names = {gpu.value for gpu in gpus}
    if len(names) > 1:
        raise ValueError("it has several device groups")
    return names.pop()


def _cards(gpus: Sequence[GpuDevice]) -> dict[str, Any]:
    if len(gpus) == 1 and "." in gpus[0].value:
        return {"passthrough": gpus[0].value.lower()}
    keys = {_model_key(gpu.value) for gpu in gpus}
    if len(keys) > 1:
        raise ValueError("it has several models of cards")
    return {"passthrough": keys.pop(), **_count(gpus)}


def _model_key(value: str) -> str:
    """Return the model of a device that is given by the ids of the cards it may be."""
    if "." in value:
        raise ValueError("it has several cards pinned by their addresses")
    vendor, _, device = value.partition(",")[0].partition(":")
    model = catalogue().by_pci(int(vendor, 16), int(device, 16))
    if model is None:
        raise ValueError(f"its card {value} is not known to vdl")
    return model.key


def _count(gpus: Sequence[GpuDevice]) -> dict[str, int]:
    return {"count": len(gpus)} if len(gpus) > 1 else {}
