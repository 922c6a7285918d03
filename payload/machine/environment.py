"""The machine a run took place on: what a stranger must know to judge its figures.

Nothing here names the machine or its owner: no host name, no address, no serial number.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from payload.machine import gpus, hardware
from payload.machine.hardware import read
from payload.telemetry import counters, toolbox

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


class Observer:
    """Describes the machine, and what happened on it between its creation and `describe`.

    Args:
        root: The file system's root; a test gives its own.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._load = self._load_average()
        self._ticks = counters.read_ticks(root)

    def describe(self) -> dict[str, Any]:
        """Return what is known; what this system does not tell is `None`."""
        memory = hardware.memory(self._root)
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
            "platform": hardware.platform_name(self._root),
            "hypervisor": hardware.hypervisor(self._root),
            "vmware_tools": toolbox.describe(),
            "cpu": hardware.cpu(self._root),
            "memory_bytes": memory["total_bytes"],
            "memory": memory,
            "gpus": gpus.describe(root=self._root),
            "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
            "load": {
                "average_start": self._load,
                "average_end": self._load_average(),
                "steal_percent": self._steal_percent(),
            },
        }

    def _os_name(self) -> str | None:
        for line in read(self._root, "etc/os-release").splitlines():
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip("\"'")
        return None

    def _load_average(self) -> list[float] | None:
        words = read(self._root, "proc/loadavg").split()
        return [float(word) for word in words[:3]] or None

    def _steal_percent(self) -> float | None:
        before, after = self._ticks, counters.read_ticks(self._root)
        if before is None or after is None or after.total <= before.total:
            return None
        return 100 * (after.steal - before.steal) / (after.total - before.total)
