"""Rows of batches: what a trainer takes its images from, and what that costs.

Real data is gathered (and decoded, where it is images) by a thread, some batches ahead, so that a
step seldom waits for its input. How long steps did wait is counted, and how many images a second
the feed gives by itself is measured before training: what is slower, input or compute, then shows.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np

from payload.data.dataset import Dataset, Examples, Rows
from payload.settings import SYNTHETIC

Batch = tuple[Any, Any]
"""Images uint8 [batch, height, width, channels] and labels int32 [batch], where they train."""

Place = Callable[[np.ndarray[Any, Any]], Any]
"""Brings an array to where it is trained on."""

AHEAD = 3
"""Batches that are prepared while others train."""
ALONE_SECONDS = 0.5
ALONE_BATCHES = 3
"""What the measurement of the feed alone lasts at least, and at least how many batches."""


class Feed(Protocol):
    """An endless row of batches.

    Attributes:
        waited_seconds: How long `next` has waited for data so far.
    """

    waited_seconds: float

    def next(self) -> Batch:
        """Return the next batch."""
        ...

    def restart(self) -> None:
        """Begin again with the first batch."""
        ...

    def images_per_second_alone(self) -> float | None:
        """Return how fast batches come when nothing trains; `None` where they are just there.

        The row begins anew afterwards, so that training sees the same batches as without this.
        """
        ...


def feed(dataset: Dataset, batch_size: int, seed: int, place: Place) -> Feed:
    """Return resident batches of synthetic data, batches fed from host memory of real data."""
    if dataset.source == SYNTHETIC:
        return ResidentFeed(dataset.train, batch_size, place)
    return ShuffledFeed(dataset.train, batch_size, seed, place)


def describe_feed(dataset: Dataset) -> dict[str, Any]:
    """Return how images come: `resident` on the device or from the `host`, with how much ahead."""
    resident = dataset.source == SYNTHETIC
    return {
        "kind": "resident" if resident else "host",
        "batches_ahead": 0 if resident else AHEAD,
        "decode_threads": dataset.train.decode_threads,
    }


class ResidentFeed:
    """Cycles through batches that lie on the device: no input pipeline is in the figures."""

    def __init__(self, examples: Examples, batch_size: int, place: Place) -> None:
        self.waited_seconds = 0.0
        self._batches = []
        for start in range(0, len(examples), batch_size):
            images, labels = examples.take(np.arange(start, start + batch_size))
            self._batches.append((place(images), place(labels)))
        self._given = 0

    def next(self) -> Batch:
        """Return the next batch."""
        self._given += 1
        return self._batches[(self._given - 1) % len(self._batches)]

    def restart(self) -> None:
        """Begin again with the first batch."""
        self._given = 0

    def images_per_second_alone(self) -> float | None:
        """Return `None`: there is nothing to wait for."""
        return None


class ShuffledFeed:
    """Prepares batches in a thread, in an order that the seed gives, new for every epoch.

    The images that fill no whole batch at the end of an epoch are left to the next order.
    """

    def __init__(self, examples: Examples, batch_size: int, seed: int, place: Place) -> None:
        self._examples, self._batch_size, self._seed = examples, batch_size, seed
        self._place = place
        self._pool = ThreadPoolExecutor(1, "feed")
        self._ahead: deque[Future[Batch]] = deque()
        self._rows = self._endless_rows()
        self.waited_seconds = 0.0

    def _endless_rows(self) -> Iterator[Rows]:
        random = np.random.default_rng(self._seed)
        whole = len(self._examples) // self._batch_size * self._batch_size
        while True:
            order = random.permutation(len(self._examples))
            for start in range(0, whole, self._batch_size):
                yield order[start : start + self._batch_size]

    def next(self) -> Batch:
        """Return the next batch.

        Raises:
            DataUnusable: If one of its images is damaged.
        """
        while len(self._ahead) <= AHEAD:
            self._ahead.append(self._pool.submit(self._prepare, next(self._rows)))
        start = time.monotonic()
        batch = self._ahead.popleft().result()
        self.waited_seconds += time.monotonic() - start
        return batch

    def _prepare(self, rows: Rows) -> Batch:
        images, labels = self._examples.take(rows)
        return self._place(images), self._place(labels)

    def restart(self) -> None:
        """Begin again with the first batch."""
        for prepared in self._ahead:
            prepared.cancel()
        self._ahead.clear()
        self._rows = self._endless_rows()

    def images_per_second_alone(self) -> float | None:
        """Return how fast batches come when nothing trains."""
        self.next()  # the first one starts threads
        start, batches = time.monotonic(), 0
        while batches < ALONE_BATCHES or time.monotonic() - start < ALONE_SECONDS:
            self.next()
            batches += 1
        seconds = time.monotonic() - start
        self.restart()
        return batches * self._batch_size / seconds
