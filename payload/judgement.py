"""What telemetry says against a result: reasons make it invalid, warnings ask for a second look.

Invalid is what was not measured on the machine as it stands: a card slowed by heat, a card shared
with another process, a vGPU without its licence, a GPU that did nothing, memory that was swapped.
A warning is what a reader of the figure should know. Stolen CPU time is one: machines are also
measured together to see what they take from each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from payload.measurement import Measurement
from payload.telemetry.throttle import SLOWED

SLOWED_SHARE = 0.05
"""Of the samples: a card that is slowed for longer is invalid."""
SWAP_BYTES_PER_SECOND = 1 << 20
IDLE_SECONDS = 1.0
"""NVML's utilisation is an average over up to a second."""
CLOCK_FELL_PERCENT = 5.0
STEAL_PERCENT = 2.0
OTHERS_PERCENT = 10.0
STARVED_PERCENT = 50.0
WAITED_SHARE = 0.1

Json = Mapping[str, Any]


def reasons(telemetry: Json | None, framework: Json | None) -> Iterator[str]:
    """Yield why figures taken with this telemetry are invalid."""
    if telemetry is None:
        return
    cards = [gpu for gpu in telemetry["gpus"] if gpu["used"] is not False]
    if framework is not None and framework["gpus"]:
        for gpu in cards:
            yield from _of_card(gpu)
        yield from _idle(cards, telemetry["seconds"])
    swapped = telemetry["memory"]["swapped_bytes"] or 0
    if swapped > SWAP_BYTES_PER_SECOND * telemetry["seconds"]:
        yield (
            f"swapping: {swapped >> 20} MiB went to or came from swap during the timed steps; "
            "give the machine more memory, or choose a smaller --batch-size"
        )


def warnings(telemetry: Json | None, framework: Json | None, environment: Json) -> Iterator[str]:
    """Yield what a reader of figures taken with this telemetry should know."""
    yield from _of_host(environment.get("vmware_tools") or {})
    if telemetry is None:
        return
    yield from _of_cpu(telemetry["cpu"])
    if framework is None or not framework["gpus"]:
        return
    if telemetry["gpus_absent"]:
        yield f"telemetry-absent: the GPU could not be watched: {telemetry['gpus_absent']}"
    for gpu in telemetry["gpus"]:
        if gpu["used"] is not False:
            yield from _doubts_of_card(gpu)


def warnings_of_steps(measured: Measurement, throughput: Json, target: float) -> Iterator[str]:
    """Yield what the step times themselves leave open.

    Args:
        measured: The step times.
        throughput: `median`, `low` and `high` in images/s, `None` where nothing was measured.
        target: Half the width of the interval that was asked for, as a share of the median.
    """
    if not throughput["median"]:
        return
    if not measured.warmup_stable:
        yield (
            "warm-up-unstable: step times had not come to rest when timing began; "
            "give a longer --time-limit"
        )
    width = (throughput["high"] - throughput["low"]) / 2 / throughput["median"]
    if measured.stopped_by == "time-limit" and width > target:
        yield (
            f"interval-wide: the interval is +-{width:.1%} at the time limit, not +-{target:.1%}; "
            "give a longer --time-limit"
        )
    if measured.waited_share > WAITED_SHARE:
        yield (
            f"input-bound: steps waited for images {measured.waited_share:.0%} of their time: "
            "this measures the data's storage or the CPU that decodes it"
        )


def _of_card(gpu: Json) -> Iterator[str]:
    if (gpu["slowed_share"] or 0) > SLOWED_SHARE:
        names = ", ".join(name for name in gpu["throttle"] if name in SLOWED)
        yield (
            f"throttled: {gpu['uuid']} was slowed in {gpu['slowed_share']:.0%} of the samples "
            f"({names}); see to its cooling and power supply"
        )
    if gpu["other_processes"]:
        yield (
            f"gpu-shared: {gpu['other_processes']} other processes computed on {gpu['uuid']}; "
            "end them and measure again"
        )
    if gpu["licensed"] is False:
        yield (
            f"licence-lost: {gpu['uuid']} was without its vGPU licence during timed steps; "
            "see to the licence server and measure again"
        )


def _idle(cards: Sequence[Json], seconds: float) -> Iterator[str]:
    busiest = [gpu["utilisation_percent"] for gpu in cards]
    told = [each["max"] for each in busiest if each is not None]
    if told and len(told) == len(cards) and max(told) == 0 and seconds >= IDLE_SECONDS:
        yield "gpu-idle: no kernel ran on the GPU during the timed steps: the CPU did the work"


def _doubts_of_card(gpu: Json) -> Iterator[str]:
    fell, utilisation = gpu["clock_fell_percent"], gpu["utilisation_percent"]
    if fell is not None and fell > CLOCK_FELL_PERCENT:
        yield (
            f"clock-fell: the clock of {gpu['uuid']} fell by {fell:.0f} % while steps were timed; "
            "a longer run would be slower"
        )
    if utilisation is not None and 0 < utilisation["median"] < STARVED_PERCENT:
        yield (
            f"gpu-starved: {gpu['uuid']} was busy {utilisation['median']:.0f} % of the time: "
            "batches are small, or the CPU is slow"
        )
    for name, error in gpu["errors"].items():
        yield f"telemetry-gap: {gpu['uuid']} did not always tell its {name}: {error}"


def _of_cpu(cpu: Json) -> Iterator[str]:
    if (cpu["steal_percent"] or 0) > STEAL_PERCENT:
        yield (
            f"steal: the hypervisor kept {cpu['steal_percent']:.1f} % of the CPU time for others; "
            "the host is busy"
        )
    if (cpu["busy_by_others_percent"] or 0) > OTHERS_PERCENT:
        yield (
            f"cpu-shared: other processes of this machine used {cpu['busy_by_others_percent']:.0f} "
            "% of its CPUs"
        )
    if cpu["thermal_events"]:
        yield f"cpu-hot: CPUs slowed for heat {cpu['thermal_events']} times"


def _of_host(tools: Json) -> Iterator[str]:
    """Yield what VMware Tools tell against the host."""
    taken = (tools.get("balloon_mib") or 0) + (tools.get("host_swapped_mib") or 0)
    if taken:
        yield (
            f"memory-taken: the host has taken {taken} MiB of this machine's memory back "
            "(balloon or host swap); reserve its memory"
        )
    if tools.get("cpu_limit_mhz"):
        yield f"cpu-limited: the VM has a CPU limit of {tools['cpu_limit_mhz']} MHz"
