"""What the three trainers share: batches, the loop over steps, the test of accuracy."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from payload.data.dataset import Dataset
from payload.data.feeds import Place, feed
from payload.engines.port import Engine
from payload.settings import Settings

TEST_BATCH = 256

State = list[np.ndarray[Any, Any]]
"""Weights, the state of dropout and that of the optimizer, in host memory."""


class KerasTrainer(ABC):
    """Trains a Keras model; an engine says how one step is computed.

    Args:
        engine: Names the framework's errors.
        dataset: Synthetic data lies on the device, real data is fed from host memory.
        settings: Batch size and seed of the data order.
        place: Brings one batch of all devices to where it is trained on.
    """

    def __init__(
        self, engine: Engine, dataset: Dataset, settings: Settings, *, place: Place
    ) -> None:
        self._engine = engine
        self._test = dataset.test
        self._epoch_steps = len(dataset.train) // settings.global_batch_size
        self._feed = feed(dataset, settings.global_batch_size, settings.seed, place)
        self._start: State | None = None

    @abstractmethod
    def _step(self, images: Any, labels: Any) -> Any:
        """Queue one training step and return its loss, computed or not."""

    @abstractmethod
    def _finish(self, loss: Any) -> float:
        """Wait until everything that was queued is done, and return the loss."""

    @abstractmethod
    def _hits(
        self, images: np.ndarray[Any, np.dtype[Any]], labels: np.ndarray[Any, np.dtype[Any]]
    ) -> int:
        """Return how many images are labelled rightly."""

    @abstractmethod
    def _state(self) -> State:
        """Copy everything that training changes."""

    @abstractmethod
    def _set_state(self, state: State) -> None:
        """Put back what `_state` returned."""

    @property
    def epoch_steps(self) -> int:
        """Return the whole batches that the training images fill."""
        return self._epoch_steps

    @property
    def waited_seconds(self) -> float:
        """Return how long steps have waited for their batches so far."""
        return self._feed.waited_seconds

    def feed_images_per_second(self) -> float | None:
        """Return how fast the input comes when nothing trains; `None` where it is resident."""
        with self._engine.errors():
            return self._feed.images_per_second_alone()

    def remember_start(self) -> None:
        """Keep the present state in host memory, for `restart`."""
        self._start = self._state()

    def restart(self) -> None:
        """Return to the state that `remember_start` kept, and to the first batch.

        Raises:
            RuntimeError: If nothing was kept.
        """
        if self._start is None:
            raise RuntimeError("remember_start was not called")
        self._set_state(self._start)
        self._feed.restart()

    def run(self, steps: int) -> float:
        """Train `steps` steps, wait until the device is done, and return the last loss.

        Raises:
            OutOfMemory: If the device or the host has no room for the step.
            EngineFailed: If the framework, the driver or the device refuses otherwise.
        """
        with self._engine.errors():
            for _ in range(steps):
                loss = self._step(*self._feed.next())
            return self._finish(loss)

    def digest(self) -> str:
        """Return the SHA-256 of everything that training changes, in hexadecimal digits."""
        found = hashlib.sha256()
        for array in self._state():
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

    def accuracy(self) -> float:
        """Return the share of test images that are labelled rightly, between 0 and 1.

        Raises:
            ValueError: If the data has no test images.
        """
        if self._test is None:
            raise ValueError("synthetic data has no test images")
        rows = np.arange(len(self._test))
        with self._engine.errors():
            hits = [
                self._hits(*self._test.take(rows[start : start + TEST_BATCH]))
                for start in range(0, len(self._test), TEST_BATCH)
            ]
        return sum(hits) / len(self._test)
