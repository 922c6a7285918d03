"""A thread that looks at the machine from time to time while steps are timed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from payload.telemetry import counters
from payload.telemetry.counters import Counters, CpuTicks
from payload.telemetry.nvml import Cards, GpuSample

INTERVAL = 0.5
"""Seconds between two samples. NVML's own figures are averages over up to a second."""

PATIENCE = 10.0


class Watch:
    """Samples while `running`; read what it saw afterwards.

    Args:
        cards: The GPUs, opened before: opening takes time that belongs to no timed step.
        interval: Seconds between two samples.
        patience: Seconds that the last sample may take.
        root: The file system's root; a test gives its own.

    Attributes:
        stuck: Whether the driver no longer answers.
        start: Counters at the beginning; `None` before.
        end: Counters at the end; `None` before.
        times: Monotonic seconds of each sample.
        ticks: CPU time of the machine at each sample.
        gpus: Each card's samples, in the order of the cards.
    """

    def __init__(
        self,
        cards: Cards,
        *,
        interval: float = INTERVAL,
        patience: float = PATIENCE,
        root: Path = Path("/"),
    ) -> None:
        self.cards, self.interval, self._patience, self._root = cards, interval, patience, root
        self.stuck = False
        self.start: Counters | None = None
        self.end: Counters | None = None
        self.times: list[float] = []
        self.ticks: list[CpuTicks | None] = []
        self.gpus: list[list[GpuSample]] = [[] for _ in cards.cards]
        self._over = Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Sample while the block runs, in a thread; what was seen before is forgotten."""
        self._over.clear()
        self.times, self.ticks, self.gpus = [], [], [[] for _ in self.cards.cards]
        # A driver that has lost its GPU may never answer: neither the run nor its end wait for it.
        thread = Thread(target=self._run, name="telemetry", daemon=True)
        self.start = counters.read(self._root)
        thread.start()
        try:
            yield
        finally:
            self.end = counters.read(self._root)
            self._over.set()
            thread.join(self._patience)
            self.stuck = thread.is_alive()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            self._sample()
            due += self.interval
            self._over.wait(max(0.0, due - time.monotonic()))
        self._sample()

    def _sample(self) -> None:
        """Take a sample; nothing is kept of one that does not come to its end."""
        now, ticks = time.monotonic(), counters.read_ticks(self._root)
        seen = [card.read() for card in self.cards.cards]
        self.times.append(now)
        self.ticks.append(ticks)
        for samples, sample in zip(self.gpus, seen, strict=True):
            samples.append(sample)
