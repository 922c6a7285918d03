"""A thread that looks at the machine from time to time while steps are timed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from payload.telemetry import counters
from payload.telemetry.counters import Counters, CpuTicks
from payload.telemetry.nvml import Cards, GpuSample

INTERVAL = 0.5
"""Seconds between two samples. NVML's own figures are averages over up to a second."""


class Watch:
    """Samples while `running`; read what it saw afterwards.

    Args:
        cards: The GPUs, opened before: opening takes time that belongs to no timed step.
        interval: Seconds between two samples.
        root: The file system's root; a test gives its own.

    Attributes:
        start: Counters at the beginning; `None` before.
        end: Counters at the end; `None` before.
        times: Monotonic seconds of each sample.
        ticks: CPU time of the machine at each sample.
        gpus: Each card's samples, in the order of the cards.
    """

    def __init__(self, cards: Cards, *, interval: float = INTERVAL, root: Path = Path("/")) -> None:
        self.cards, self.interval, self._root = cards, interval, root
        self.start: Counters | None = None
        self.end: Counters | None = None
        self.times: list[float] = []
        self.ticks: list[CpuTicks | None] = []
        self.gpus: list[list[GpuSample]] = [[] for _ in cards.cards]
        self._over = Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Sample while the block runs, in a thread."""
        self.start = counters.read(self._root)
        with ThreadPoolExecutor(1, "telemetry") as pool:
            sampling = pool.submit(self._run)
            try:
                yield
            finally:
                self.end = counters.read(self._root)
                self._over.set()
        sampling.result()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            self._sample()
            due += self.interval
            self._over.wait(max(0.0, due - time.monotonic()))
        self._sample()

    def _sample(self) -> None:
        self.times.append(time.monotonic())
        self.ticks.append(counters.read_ticks(self._root))
        for card, samples in zip(self.cards.cards, self.gpus, strict=True):
            samples.append(card.read())
