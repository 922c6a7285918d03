"""How fast a device does one thing, and nothing else: the driver of the ceilings' probes.

A probe has sizes. The smallest is tried first, then larger ones, until one call lasts long enough
to be timed well, the largest is reached, or memory is full. That size is then repeated in windows,
with the same clock and the same wait for the device as training steps; the median counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

from payload.errors import OutOfMemory

LONG_ENOUGH = 0.05
"""Seconds; smaller sizes seldom keep all of a device busy."""
WINDOW_SECONDS = 0.05
LEAST_WINDOWS = 3

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """One size of a probe.

    Attributes:
        shape: What the document says of it.
        amount: Operations or bytes of one call.
        repeat: Calls it so many times and waits for the device.
    """

    shape: Json
    amount: int
    repeat: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Timer:
    """How long a probe may repeat its size, by which clock, and what may end it early.

    Attributes:
        clock: Monotonic seconds.
        check_stop: Raises `Interrupted` when the run is to end.
        seconds: For the windows; trying sizes and compiling come on top.
    """

    clock: Callable[[], float]
    check_stop: Callable[[], None]
    seconds: float

    def took(self, work: Work, count: int) -> float:
        """Return the seconds of one of `count` calls."""
        self.check_stop()
        start = self.clock()
        work.repeat(count)
        return (self.clock() - start) / count


def per_second(sizes: Iterable[Callable[[], Work]], timer: Timer) -> Json | None:
    """Return the shape that was measured and its amount per second; `None` without memory for any.

    Args:
        sizes: Make the work of each size, smallest first.
        timer: The clock and the time there is.
    """
    chosen, once = _size(sizes, timer)
    if chosen is None:
        return None
    count = max(1, math.ceil(WINDOW_SECONDS / once))
    times: list[float] = []
    start = timer.clock()
    while len(times) < LEAST_WINDOWS or timer.clock() - start < timer.seconds:
        times.append(timer.took(chosen, count))
    return {**chosen.shape, "per_second": chosen.amount / median(times), "windows": len(times)}


def _size(sizes: Iterable[Callable[[], Work]], timer: Timer) -> tuple[Work | None, float]:
    """Return the size to repeat, and what one call of it takes."""
    chosen, once = None, 0.0
    for make in sizes:
        try:
            work = make()
            work.repeat(1)  # compiles, and tries kernels
            once = timer.took(work, 1)
        except OutOfMemory:
            break
        chosen = work
        if once >= LONG_ENOUGH:
            break
    return chosen, once
