"""VMs and templates as plain values, read in two steps.

Every VM gets the narrow properties. `config.hardware.device` and `config.extraConfig` make up
most of a VM and a read of 10,000 VMs with them takes minutes, so they are read only for VMs
that may matter: those that hold a card, those that may be the lab's, and the templates. A
stranger's VM that is off and has a GPU holds no card and is shown without its GPU.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from pyVmomi import vim

from provision.plan.snapshot import GpuDevice, Power, Template, Vm
from provision.vsphere.collector import Found, moid
from provision.vsphere.devices import disk_bytes, first_disk, gpu_devices, options, wire

STAMP_PREFIX = "vdl."
GUESTINFO_PREFIX = "guestinfo.vdl."
SETTING_PREFIX = "pciPassthru."
# Written on each VM for people to read; also what makes a renamed and moved VM easy to find.
NOTE = "Made by vdl for the lab {lab}: {machine}"

NARROW = (
    "name",
    "parent",
    "datastore",
    "runtime.powerState",
    "runtime.host",
    "config.annotation",
    "config.instanceUuid",
    "config.template",
    "config.hardware.numCPU",
    "config.hardware.memoryMB",
    "config.memoryAllocation.reservation",
)
WIDE = (
    "config.hardware.device",
    "config.deviceGroups",
    "config.extraConfig",
    "config.memoryReservationLockedToMax",
    "config.cpuHotAddEnabled",
    "config.firmware",
    "config.version",
    "config.guestId",
    "config.changeVersion",
    "guest.toolsRunningStatus",
    "guest.toolsVersionStatus2",
    "guest.net",
    "guest.ipAddress",
    "runtime.question",
    "summary.quickStats.uptimeSeconds",
)
POWER = {"poweredOn": Power.ON, "poweredOff": Power.OFF, "suspended": Power.SUSPENDED}
MIB = 2**20


def note(lab: str, machine: str) -> str:
    """Return what a VM of the lab says about itself in its annotation."""
    return NOTE.format(lab=lab, machine=machine)


def note_start(lab: str) -> str:
    """Return how the annotations of a lab's VMs begin."""
    return NOTE.partition("{machine}")[0].format(lab=lab)


def vm(narrow: Found, wide: Found | None, path: str) -> Vm:
    """Return a VM; without wide properties it has no GPUs, stamps, settings and addresses."""
    memory = narrow.get("config.hardware.memoryMB", 0) * MIB
    reserved = (narrow.get("config.memoryAllocation.reservation") or 0) * MIB
    locked = wide is not None and wide.get("config.memoryReservationLockedToMax")
    host = narrow.get("runtime.host")
    basis = Vm(
        id=narrow.id,
        name=unquote(narrow.get("name", narrow.id)),
        path=path,
        instance_uuid=narrow.get("config.instanceUuid") or "",
        power=POWER[narrow.get("runtime.powerState", "poweredOff")],
        host_id=moid(host) if host else None,
        cpus=narrow.get("config.hardware.numCPU", 0),
        memory=memory,
        memory_reserved=memory if locked else reserved,
        datastores=tuple(moid(ref) for ref in narrow.get("datastore", ())),
    )
    return _widen(basis, wide) if wide else basis


def _widen(basis: Vm, wide: Found) -> Vm:
    extra = options(wide.get("config.extraConfig"))
    question = wide.get("runtime.question")
    return Vm(
        id=basis.id,
        name=basis.name,
        path=basis.path,
        instance_uuid=basis.instance_uuid,
        power=basis.power,
        host_id=basis.host_id,
        cpus=basis.cpus,
        memory=basis.memory,
        memory_reserved=basis.memory_reserved,
        datastores=basis.datastores,
        gpus=_gpus(wide),
        stamps=_starting(extra, STAMP_PREFIX),
        settings=_starting(extra, SETTING_PREFIX) | _hardware_settings(wide),
        guestinfo=_starting(extra, GUESTINFO_PREFIX),
        tools_running=wide.get("guest.toolsRunningStatus") == "guestToolsRunning",
        addresses=addresses(wide.get("guest.net"), wide.get("guest.ipAddress")),
        question=question.text if question else None,
        network=wire(wide.get("config.hardware.device", ())),
        uptime=wide.get("summary.quickStats.uptimeSeconds") or None,
    )


def template(narrow: Found, wide: Found, path: str) -> Template:
    """Return a template."""
    digits = re.search(r"\d+", wide.get("config.version") or "")
    disk = first_disk(wide.get("config.hardware.device", ()))
    status = wide.get("guest.toolsVersionStatus2") or "guestToolsNotInstalled"
    return Template(
        id=narrow.id,
        name=unquote(narrow.get("name", narrow.id)),
        path=path,
        firmware=wide.get("config.firmware") or "bios",
        hardware=int(digits[0]) if digits else 0,
        tools=status != "guestToolsNotInstalled",
        guest_id=wide.get("config.guestId") or "",
        disk=disk_bytes(disk) if disk else 0,
        change_version=wide.get("config.changeVersion") or "",
        gpus=_gpus(wide),
    )


def addresses(nics: Iterable[Any] | None, first: str | None) -> tuple[str, ...]:
    """Return all addresses of a guest as tools report them, the primary one first."""
    found = [first] if first else []
    found += [address for nic in nics or () for address in nic.ipAddress or ()]
    return tuple(dict.fromkeys(found))


def _gpus(wide: Found) -> tuple[GpuDevice, ...]:
    return gpu_devices(wide.get("config.hardware.device", ()), wide.get("config.deviceGroups"))


def _starting(extra: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key: value for key, value in sorted(extra.items()) if key.startswith(prefix)}


def _hardware_settings(wide: Found) -> dict[str, str]:
    """Return the fields that are no `extraConfig`, under the names that plans use."""
    flags = {
        name: "TRUE" if wide.get(f"config.{name}") else "FALSE"
        for name in ("cpuHotAddEnabled", "memoryReservationLockedToMax")
    }
    return flags | {"firmware": wide.get("config.firmware") or "bios"}


class Paths:
    """Inventory paths such as `/DC0/vm/vdl/vroom-cpu-1`, from each object's name and parent."""

    def __init__(self, containers: Iterable[Found]) -> None:
        self._places = {
            one.id: (unquote(one.get("name", one.id)), None if _ends(one) else one.get("parent"))
            for one in containers
        }

    def of(self, name: str, parent: Any) -> str:
        """Return the path of an object; a parent that is not known ends it."""
        parts = [name]
        while parent is not None and (place := self._places.get(moid(parent))):
            parts.append(place[0])
            parent = place[1]
        return "/" + "/".join(reversed(parts))


def _ends(container: Found) -> bool:
    """Whether paths begin here: a datacenter, whatever folder it lies in."""
    return isinstance(container.ref, vim.Datacenter)
