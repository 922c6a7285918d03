"""The machine a run took place on: what a stranger must know to judge its figures.

Nothing here names the machine or its owner: no host name, no address, no serial number.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from payload import gpus

CPU_FLAGS = (
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
)
"""What decides which kernels oneDNN takes; bfloat16 is slow without one of the two *_bf16."""

VARIABLES = (
    # What changes the speed or the arithmetic of TensorFlow, oneDNN, OpenMP and CUDA. Listed one
    # by one: TF_VAR_* are Terraform's, and may hold passwords.
    "CUDA_DEVICE_ORDER",
    "CUDA_VISIBLE_DEVICES",
    "KMP_AFFINITY",
    "KMP_BLOCKTIME",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "TF_CUDNN_DETERMINISTIC",
    "TF_CUDNN_USE_AUTOTUNE",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_FORCE_GPU_ALLOW_GROWTH",
    "TF_GPU_ALLOCATOR",
    "TF_GPU_THREAD_COUNT",
    "TF_GPU_THREAD_MODE",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
)

HYPERVISORS = {
    # /sys/class/dmi/id/sys_vendor of a guest, as the hypervisors' own firmware sets it.
    "VMware, Inc.": "VMware",
    "QEMU": "KVM",
    "Red Hat": "KVM",
    "Google": "KVM",
    "Amazon EC2": "KVM",
    "Xen": "Xen",
    "Microsoft Corporation": "Hyper-V",
    "innotek GmbH": "VirtualBox",
}


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Ticks since boot that all CPUs together had, and those the hypervisor took from them."""

    total: int
    steal: int


class Observer:
    """Describes the machine, and what happened on it between its creation and `describe`.

    Args:
        root: The file system's root; a test gives its own.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._load = self._load_average()
        self._cpu_time = self._read_cpu_time()

    def describe(self) -> dict[str, Any]:
        """Return what is known; what this system does not tell is `None`."""
        return {
            "python": {
                "version": platform.python_version(),
                "implementation": platform.python_implementation(),
            },
            "os": {
                "name": self._os_name(),
                "kernel": platform.release(),
                "machine": platform.machine(),
            },
            "cpu": self._cpu(),
            "memory_bytes": self._memory_bytes(),
            "hypervisor": self._hypervisor(),
            "gpus": gpus.describe(),
            "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
            "load": {
                "average_start": self._load,
                "average_end": self._load_average(),
                "steal_percent": self._steal_percent(),
            },
        }

    def _cpu(self) -> dict[str, Any]:
        info = self._cpuinfo()
        present = info.get("flags", "").split()
        return {
            "model": info.get("model name"),
            "flags": [flag for flag in CPU_FLAGS if flag in present],
            "vcpus": os.cpu_count(),
            "usable": _usable_cpus(),
        }

    def _cpuinfo(self) -> dict[str, str]:
        """Return the first processor's block of /proc/cpuinfo."""
        block = self._read("proc/cpuinfo").split("\n\n", maxsplit=1)[0]
        pairs = (line.partition(":") for line in block.splitlines())
        return {key.strip(): value.strip() for key, _, value in pairs}

    def _os_name(self) -> str | None:
        for line in self._read("etc/os-release").splitlines():
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip("\"'")
        return None

    def _memory_bytes(self) -> int | None:
        for line in self._read("proc/meminfo").splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
        return None

    def _hypervisor(self) -> dict[str, Any] | None:
        """Return the hypervisor; `None` on bare metal, whose CPU has no `hypervisor` flag."""
        if "hypervisor" not in self._cpuinfo().get("flags", "").split():
            return None
        vendor = self._read("sys/class/dmi/id/sys_vendor").strip() or None
        return {
            "name": HYPERVISORS.get(vendor or ""),
            "vendor": vendor,
            "product": self._read("sys/class/dmi/id/product_name").strip() or None,
        }

    def _load_average(self) -> list[float] | None:
        words = self._read("proc/loadavg").split()
        return [float(word) for word in words[:3]] or None

    def _read_cpu_time(self) -> CpuTime | None:
        """Return the first line of /proc/stat: user, nice, system, idle, ..., the 8th is steal.

        Guest time, the 9th and 10th, is already in user and nice (proc(5)).
        """
        words = self._read("proc/stat").partition("\n")[0].split()
        if len(words) < 9:  # noqa: PLR2004 "cpu" and eight times
            return None
        ticks = [int(word) for word in words[1:9]]
        return CpuTime(total=sum(ticks), steal=ticks[7])

    def _steal_percent(self) -> float | None:
        before, after = self._cpu_time, self._read_cpu_time()
        if before is None or after is None or after.total <= before.total:
            return None
        return 100 * (after.steal - before.steal) / (after.total - before.total)

    def _read(self, path: str) -> str:
        try:
            return (self._root / path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def _usable_cpus() -> int | None:
    """Return the CPUs that this process may run on, which a pinned process has fewer of."""
    affinity = getattr(os, "sched_getaffinity", None)  # macOS has none
    return os.cpu_count() if affinity is None else len(affinity(0))
