"""Rows of batches: what a trainer takes its images from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from payload.data import Dataset, Images
from payload.settings import SYNTHETIC

Batch = tuple[Any, Any]
"""Images uint8 [batch, height, width, channels] and labels int32 [batch], where they train."""

Place = Callable[[np.ndarray[Any, Any]], Any]
"""Brings an array to where it is trained on."""


class Feed(Protocol):
    """An endless row of batches."""

    def next(self) -> Batch:
        """Return the next batch."""
        ...

    def restart(self) -> None:
        """Begin again with the first batch."""
        ...


def feed(dataset: Dataset, batch_size: int, seed: int, place: Place) -> Feed:
    """Return resident batches of synthetic data, batches fed from host memory of real data."""
    if dataset.source == SYNTHETIC:
        return ResidentFeed(dataset.train, batch_size, place)
    return ShuffledFeed(dataset.train, batch_size, seed, place)


class ResidentFeed:
    """Cycles through batches that lie on the device: no input pipeline is in the figures."""

    def __init__(self, images: Images, batch_size: int, place: Place) -> None:
        self._batches = [
            (
                place(images.images[start : start + batch_size]),
                place(images.labels[start : start + batch_size]),
            )
            for start in range(0, len(images), batch_size)
        ]
        self._given = 0

    def next(self) -> Batch:
        """Return the next batch."""
        self._given += 1
        return self._batches[(self._given - 1) % len(self._batches)]

    def restart(self) -> None:
        """Begin again with the first batch."""
        self._given = 0


class ShuffledFeed:
    """Gathers batches in host memory, in an order that the seed gives, new for every epoch.

    The images that fill no whole batch at the end of an epoch are left to the next order.
    """

    def __init__(self, images: Images, batch_size: int, seed: int, place: Place) -> None:
        self._images, self._batch_size, self._seed = images, batch_size, seed
        self._place = place
        self._rows = self._endless_rows()

    def _endless_rows(self) -> Iterator[np.ndarray[Any, np.dtype[np.int64]]]:
        random = np.random.default_rng(self._seed)
        whole = len(self._images) // self._batch_size * self._batch_size
        while True:
            order = random.permutation(len(self._images))
            for start in range(0, whole, self._batch_size):
                yield order[start : start + self._batch_size]

    def next(self) -> Batch:
        """Return the next batch."""
        rows = next(self._rows)
        return self._place(self._images.images[rows]), self._place(self._images.labels[rows])

    def restart(self) -> None:
        """Begin again with the first batch."""
        self._rows = self._endless_rows()
