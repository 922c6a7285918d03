"""Counters of the kernel, read before and after the timed part: CPU time, swap, heat.

Paths are relative to a root, so that a test can give recorded files.
"""

from __future__ import annotations

import os
import resource
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

STEAL = 7
"""Column of the stolen time among user, nice, system, idle, iowait, irq, softirq, steal."""
IDLE = (3, 4)
_COLUMNS = 8
"""Guest time, the 9th and 10th column, is already in user and nice (proc(5))."""


@dataclass(frozen=True, slots=True)
class CpuTicks:
    """Clock ticks since boot, of all CPUs together."""

    total: int
    busy: int
    steal: int


@dataclass(frozen=True, slots=True)
class Counters:
    """Counters at one moment; what the kernel does not tell is `None`.

    Attributes:
        seconds: Monotonic clock.
        cpu: Of all CPUs.
        own_seconds: CPU time of this process and of its children that have ended.
        switches: Voluntary and forced context switches of this process.
        swapped_bytes: Read from and written to swap since boot, by anybody.
        mhz: Median over the CPUs, as /proc/cpuinfo tells it. In a VM often a constant.
        thermal_events: How often the CPUs slowed for heat since boot; virtual CPUs don't tell.
    """

    seconds: float
    cpu: CpuTicks | None
    own_seconds: float
    switches: tuple[int, int]
    swapped_bytes: int | None
    mhz: float | None
    thermal_events: int | None


def read(root: Path = Path("/")) -> Counters:
    """Return the counters of this moment."""
    usage, times = resource.getrusage(resource.RUSAGE_SELF), os.times()
    return Counters(
        seconds=time.monotonic(),
        cpu=read_ticks(root),
        own_seconds=times.user + times.system + times.children_user + times.children_system,
        switches=(usage.ru_nvcsw, usage.ru_nivcsw),
        swapped_bytes=_swapped_bytes(root),
        mhz=_mhz(root),
        thermal_events=_thermal_events(root),
    )


def read_ticks(root: Path) -> CpuTicks | None:
    """Return the first line of /proc/stat."""
    words = _text(root / "proc/stat").partition("\n")[0].split()
    if len(words) <= _COLUMNS:
        return None
    ticks = [int(word) for word in words[1 : _COLUMNS + 1]]
    idle = sum(ticks[column] for column in IDLE)
    return CpuTicks(sum(ticks), sum(ticks) - idle - ticks[STEAL], ticks[STEAL])


def peak_memory_bytes() -> int:
    """Return the most resident memory that this process ever had (getrusage(2): in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _swapped_bytes(root: Path) -> int | None:
    pairs = (line.partition(" ") for line in _text(root / "proc/vmstat").splitlines())
    pages = [int(count) for name, _, count in pairs if name in {"pswpin", "pswpout"}]
    return sum(pages) * resource.getpagesize() if pages else None


def _mhz(root: Path) -> float | None:
    lines = _text(root / "proc/cpuinfo").splitlines()
    values = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return statistics.median(values) if values else None


def _thermal_events(root: Path) -> int | None:
    folder = root / "sys/devices/system/cpu"
    found = [_text(path) for path in folder.glob("cpu*/thermal_throttle/core_throttle_count")]
    return sum(int(text) for text in found if text) if found else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
