"""Processors, memory and hypervisor of the machine, from /proc and /sys.

Every function takes the root of the file system, so that recorded files can be read. What a
system does not tell is `None`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

CPU_FLAGS = (
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "amx_fp16",
    "amx_int8",
    # Of Arm processors.
    "asimd",
    "bf16",
    "sve",
    "sve2",
)
"""What decides which kernels oneDNN takes; bfloat16 is slow without one of the three *bf16."""

HYPERVISORS = {
    # /sys/class/dmi/id/sys_vendor of a guest, as the hypervisors' own firmware sets it.
    "VMware, Inc.": "VMware",
    "QEMU": "KVM",
    "Red Hat": "KVM",
    "OpenStack Foundation": "KVM",
    "Nutanix": "KVM",
    "Google": "KVM",
    "Amazon EC2": "KVM",
    "Xen": "Xen",
    "Microsoft Corporation": "Hyper-V",
    "innotek GmbH": "VirtualBox",
}

_NO_LIMIT = 1 << 60
"""Memory limits above this are how cgroup version 1 spells "none"."""

Json = dict[str, Any]


def cpu(root: Path) -> Json:
    """Return model, flags, topology, and how much of it this process may use.

    `vcpus` are the logical processors of the machine, `usable` those that this process may run
    on, `cgroup_cpus` the CPU time that its cgroup grants, in CPUs.
    """
    blocks = _cpuinfo(root)
    first = blocks[0] if blocks else {}
    present = first.get("flags", first.get("Features", "")).split()
    cores = {(block.get("physical id"), block.get("core id")) for block in blocks}
    sockets = {block.get("physical id") for block in blocks}
    told = bool(blocks) and None not in sockets
    return {
        "model": first.get("model name"),
        "flags": [flag for flag in CPU_FLAGS if flag in present],
        "vcpus": len(blocks) or os.cpu_count(),
        "sockets": len(sockets) if told else None,
        "cores": len(cores) if told else None,
        "numa": numa(root),
        "usable": usable_cpus(),
        "affinity": _affinity(),
        "cgroup_cpus": _cgroup_cpus(root),
        "governor": read(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
    }


def numa(root: Path) -> list[Json]:
    """Return each NUMA node's number, its CPUs as the kernel lists them, its memory in bytes."""
    folders = (root / "sys/devices/system/node").glob("node[0-9]*")
    return [
        {
            "node": node,
            "cpus": read(root, f"sys/devices/system/node/node{node}/cpulist"),
            "memory_bytes": _meminfo(
                read(root, f"sys/devices/system/node/node{node}/meminfo"), "MemTotal"
            ),
        }
        for node in sorted(int(folder.name.removeprefix("node")) for folder in folders)
    ]


def memory(root: Path) -> Json:
    """Return sizes in bytes: memory, what was free of it, swap, and the cgroup's limit."""
    text = read(root, "proc/meminfo")
    return {
        "total_bytes": _meminfo(text, "MemTotal"),
        "available_bytes": _meminfo(text, "MemAvailable"),
        "swap_bytes": _meminfo(text, "SwapTotal"),
        "cgroup_bytes": _cgroup_memory(root),
    }


def hypervisor(root: Path) -> Json | None:
    """Return the hypervisor of a virtual machine, `None` on bare metal.

    An x86 guest's CPU has the flag `hypervisor`; firmware tells whose it is. Other processors
    have no such flag, so there the firmware's vendor alone decides.
    """
    vendor = read(root, "sys/class/dmi/id/sys_vendor") or None
    blocks = _cpuinfo(root)
    flags = blocks[0].get("flags", "").split() if blocks else []
    if "hypervisor" not in flags and (flags or vendor not in HYPERVISORS):
        return None
    return {
        "name": HYPERVISORS.get(vendor or ""),
        "vendor": vendor,
        "product": read(root, "sys/class/dmi/id/product_name") or None,
    }


def platform_name(root: Path) -> str | None:
    """Return `virtual`, `bare-metal`, or `None` where neither CPU nor firmware tells."""
    if hypervisor(root) is not None:
        return "virtual"
    blocks = _cpuinfo(root)
    known = bool(blocks and "flags" in blocks[0]) or bool(read(root, "sys/class/dmi/id/sys_vendor"))
    return "bare-metal" if known else None


def pci_numa_node(root: Path, address: str | None) -> int | None:
    """Return the NUMA node of a PCI device; `None` where the firmware names none.

    Args:
        root: Of the file system.
        address: As `nvidia-smi` prints it, with eight digits of domain; the kernel has four.
    """
    match = re.fullmatch(r"([0-9A-Fa-f]{4,8}):([0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.\d)", address or "")
    if match is None:
        return None
    name = f"{int(match[1], 16):04x}:{match[2].lower()}"
    text = read(root, f"sys/bus/pci/devices/{name}/numa_node")
    return int(text) if text.isdigit() else None


def read(root: Path, path: str) -> str:
    """Return a small file's text without blanks around it; nothing if it can't be read."""
    try:
        return (root / path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _cpuinfo(root: Path) -> list[dict[str, str]]:
    """Return the blocks of /proc/cpuinfo, one for each logical processor."""
    texts = read(root, "proc/cpuinfo").split("\n\n")
    blocks = [_pairs(text) for text in texts]
    return [block for block in blocks if "processor" in block]


def _pairs(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _meminfo(text: str, name: str) -> int | None:
    match = re.search(rf"\b{name}:\s+(\d+) kB", text)
    return int(match[1]) * 1024 if match else None


def usable_cpus() -> int | None:
    """Return the CPUs that this process may run on, which a pinned process has fewer of."""
    affinity = getattr(os, "sched_getaffinity", None)  # macOS has none
    return os.cpu_count() if affinity is None else len(affinity(0))


def _affinity() -> list[int] | None:
    affinity = getattr(os, "sched_getaffinity", None)
    if affinity is None or len(affinity(0)) == os.cpu_count():
        return None
    return sorted(affinity(0))


def cgroup_folders(root: Path, controller: str) -> list[Path]:
    """Return this process's folder of a controller and those above it, version 2 or 1."""
    for line in read(root, "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        mount = root / "sys/fs/cgroup"
        if controller in controllers.split(","):
            mount /= controller
        elif number != "0" or not (mount / "cgroup.controllers").exists():
            continue
        below = Path(path.lstrip("/"))
        return [mount / below, *(mount / above for above in below.parents)]
    return []


def _cgroup_cpus(root: Path) -> float | None:
    """Return the least CPU quota on the way up, as CPUs."""
    quotas = []
    for folder in cgroup_folders(root, "cpu"):
        words = read(folder, "cpu.max").split() or [
            read(folder, "cpu.cfs_quota_us"),
            read(folder, "cpu.cfs_period_us"),
        ]
        if all(word.isdigit() for word in words):  # "max" and -1 mean no quota
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def _cgroup_memory(root: Path) -> int | None:
    """Return the least memory limit on the way up, in bytes."""
    limits = []
    for folder in cgroup_folders(root, "memory"):
        text = read(folder, "memory.max") or read(folder, "memory.limit_in_bytes")
        if text.isdigit() and int(text) < _NO_LIMIT:
            limits.append(int(text))
    return min(limits, default=None)
