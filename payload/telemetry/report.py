"""The telemetry of a run as the document has it: summaries, and some of the samples."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from payload.telemetry import counters, throttle
from payload.telemetry.counters import Counters, CpuTicks
from payload.telemetry.nvml import Card, GpuSample
from payload.telemetry.watch import Watch

MOST_SAMPLES = 240
"""Samples that the document keeps; of more, every second, third, ... is kept."""
READINGS = (
    "utilisation_percent",
    "memory_used_mib",
    "power_w",
    "temperature_c",
    "clock_sm_mhz",
    "clock_memory_mhz",
)

Json = dict[str, Any]


def describe(watch: Watch, images: int) -> Json | None:
    """Return what a watch saw while `images` images were trained on; `None` if it saw nothing."""
    start, end = watch.start, watch.end
    if start is None or end is None or not watch.times:
        return None
    zero, stride = watch.times[0], -(-len(watch.times) // MOST_SAMPLES)
    pairs = zip(watch.cards.cards, watch.gpus, strict=True)
    own = {os.getpid()}
    gpus = [describe_gpu(card, watch.times, seen, own, stride) for card, seen in pairs]
    if watch.stuck:
        for gpu in gpus:
            gpu["errors"]["nvml"] = "the driver no longer answers"
    return {
        "interval_seconds": watch.interval,
        "seconds": end.seconds - start.seconds,
        "samples": len(watch.times),
        "times": [round(moment - zero, 3) for moment in watch.times[::stride]],
        "cpu": describe_cpu(start, end, watch.ticks),
        "memory": {
            "peak_bytes": counters.peak_memory_bytes(),
            "swapped_bytes": _difference(start.swapped_bytes, end.swapped_bytes),
        },
        "gpus": gpus,
        "gpus_absent": watch.cards.absent,
        "energy": energy(gpus, images),
    }


def describe_cpu(start: Counters, end: Counters, ticks: Sequence[CpuTicks | None]) -> Json:
    """Return how busy the CPUs were, with whom, and what the hypervisor took from them.

    `own_percent` counts one whole CPU as 100; the others are shares of all CPUs. `steal_known`
    is false where no time was ever stolen since boot: then a hypervisor may just not tell.
    """
    seconds = end.seconds - start.seconds
    known = [each for each in ticks if each is not None]
    between = [pair for pair in pairwise(known) if pair[1].total > pair[0].total]
    busy = [100 * (b.busy - a.busy) / (b.total - a.total) for a, b in between]
    steal = [100 * (b.steal - a.steal) / (b.total - a.total) for a, b in between]
    return {
        "own_percent": 100 * (end.own_seconds - start.own_seconds) / seconds,
        "busy_percent": spread(busy),
        "busy_by_others_percent": _others(start, end),
        "steal_percent": _overall_steal(start.cpu, end.cpu),
        "steal_worst_percent": max(steal, default=None),
        "steal_known": bool(end.cpu and end.cpu.steal),
        "context_switches": {
            "voluntary": end.switches[0] - start.switches[0],
            "forced": end.switches[1] - start.switches[1],
        },
        "mhz_start": start.mhz,
        "mhz_end": end.mhz,
        "thermal_events": _difference(start.thermal_events, end.thermal_events),
    }


def describe_gpu(
    card: Card, times: Sequence[float], seen: Sequence[GpuSample], own: set[int], stride: int
) -> Json:
    """Return the summary of one card's samples, and every `stride`-th of them."""
    bits = [each.throttle for each in seen if each.throttle is not None]
    joules, source = joules_of(times, seen)
    licences = [each.licensed for each in seen if each.licensed is not None]
    return {
        "uuid": card.uuid,
        "used": used(seen, own),
        **{name: spread(_values(seen, name)) for name in READINGS},
        "throttle": throttle.shares(bits) if bits else None,
        "slowed_share": throttle.slowed_share(bits) if bits else None,
        "clock_fell_percent": clock_fell_percent(_values(seen, "clock_sm_mhz")),
        "energy_joules": joules,
        "energy_source": source,
        "licensed": all(licences) if licences else None,
        "other_processes": len(others(seen, own)),
        "errors": dict(card.errors),
        "series": {name: [getattr(each, name) for each in seen[::stride]] for name in READINGS},
    }


def spread(values: Sequence[float]) -> Json | None:
    """Return least, median and greatest value; `None` of nothing."""
    if not values:
        return None
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def joules_of(times: Sequence[float], seen: Sequence[GpuSample]) -> tuple[float | None, str | None]:
    """Return the energy between the first and the last sample, and how it is known.

    `counter` is the card's own; `power` is the integral of the sampled power, as a trapezoid
    between two samples.
    """
    counted = [each.energy_joules for each in seen if each.energy_joules is not None]
    if len(counted) == len(seen) and len(counted) > 1 and counted[-1] > counted[0]:
        return counted[-1] - counted[0], "counter"
    powers = [(t, each.power_w) for t, each in zip(times, seen, strict=True)]
    watts = [(t, power) for t, power in powers if power is not None]
    if len(watts) < 2:  # noqa: PLR2004 an integral has two ends
        return None, None
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(watts)), "power"


def energy(gpus: Sequence[Json], images: int) -> Json:
    """Return the joules of all cards that this run used, and per image; `None` if unknown."""
    counted = [gpu["energy_joules"] for gpu in gpus if gpu["used"] is not False]
    known = bool(counted) and all(value is not None for value in counted)
    joules = sum(counted) if known else None
    return {
        "gpu_joules": joules,
        "gpu_joules_per_image": joules / images if joules is not None and images else None,
    }


def used(seen: Sequence[GpuSample], own: set[int]) -> bool | None:
    """Return whether this process computed on the card; `None` if the card does not tell.

    A container has its own process ids: a process that is not ours may be ours all the same.
    """
    found = _processes(seen)
    if found is None:
        return None
    if found & own:
        return True
    return None if found else False


def others(seen: Sequence[GpuSample], own: set[int]) -> set[int]:
    """Return the ids of foreign processes on the card.

    Where our own id is not among them, the first one is taken for us under another number.
    """
    found = _processes(seen) or frozenset()
    foreign = set(found - own)
    return foreign if found & own else set(sorted(foreign)[1:])


def clock_fell_percent(clocks: Sequence[float]) -> float | None:
    """Return by how much the last third's median clock lies below the first third's."""
    third = len(clocks) // 3
    if third == 0:
        return None
    first, last = statistics.median(clocks[:third]), statistics.median(clocks[-third:])
    return 100 * (first - last) / first if first else None


def _processes(seen: Sequence[GpuSample]) -> frozenset[int] | None:
    known = [each.processes for each in seen if each.processes is not None]
    return frozenset().union(*known) if known else None


def _values(seen: Sequence[GpuSample], name: str) -> list[float]:
    return [value for each in seen if (value := getattr(each, name)) is not None]


def _others(start: Counters, end: Counters) -> float | None:
    """Return the share of all CPUs that other processes of this machine kept busy."""
    if start.cpu is None or end.cpu is None or end.cpu.total <= start.cpu.total:
        return None
    total = end.cpu.total - start.cpu.total
    own = (end.own_seconds - start.own_seconds) * os.sysconf("SC_CLK_TCK")
    return max(0.0, 100 * (end.cpu.busy - start.cpu.busy - own) / total)


def _overall_steal(start: CpuTicks | None, end: CpuTicks | None) -> float | None:
    if start is None or end is None or end.total <= start.total:
        return None
    return 100 * (end.steal - start.steal) / (end.total - start.total)


def _difference(start: int | None, end: int | None) -> int | None:
    return None if start is None or end is None else end - start
