"""Lets several trainers take turns, so that what disturbs the machine disturbs all alike."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median

WINDOW_SECONDS = 3.0
ROUNDS = 5

Cell = tuple[str, str, int, str]
"""Kind, network, batch size and precision: what `trainers` takes."""


class Trainer:
    """A process that trains when it is told to."""

    def __init__(self, cell: Cell) -> None:
        words = [sys.executable, "-m", "tests.benchmarks.trainers", *map(str, cell)]
        self._batch = cell[2]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, bufsize=1,
        )  # fmt: skip

    def wait_until_ready(self) -> None:
        """Wait for its first step, which compiles."""
        if self._line() != "ready\n":
            raise RuntimeError(f"{self._process.args!r} did not start")

    def images_per_second(self, steps: int) -> float:
        """Train so many steps."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{steps}\n")
        return self._batch / float(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def speeds(
    cells: Sequence[Cell], *, rounds: int = ROUNDS, seconds: float = WINDOW_SECONDS
) -> list[list[float]]:
    """Return images/s of each cell, one for each round in which each had a turn."""
    with ExitStack() as stack:
        trainers = []
        for cell in cells:
            trainers.append(Trainer(cell))
            stack.callback(trainers[-1].close)
            trainers[-1].wait_until_ready()
        # One turn of a step or two says how many fill a window.
        first = [trainer.images_per_second(2) for trainer in trainers]
        steps = [
            max(1, math.ceil(seconds * speed / cell[2]))
            for speed, cell in zip(first, cells, strict=True)
        ]
        found: list[list[float]] = [[] for _ in cells]
        for _ in range(rounds):
            for trainer, count, into in zip(trainers, steps, found, strict=True):
                into.append(trainer.images_per_second(count))
    return found


def ratio(ours: Sequence[float], others: Sequence[float]) -> str:
    """Return the median over the rounds of ours over theirs, with the lowest and the highest."""
    found = [one / other for one, other in zip(ours, others, strict=True)]
    return f"{median(found):.2f} ({min(found):.2f} to {max(found):.2f})"
