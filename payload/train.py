"""Training with TensorFlow: one compiled step, called in an own loop.

Keras' `fit` was measured at 12 (VGG-16) to 28 per cent (MNIST) below the speed of such a loop on
two CPU cores: its metrics and callbacks cost time that is not training.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from payload.data import Dataset, Images
from payload.errors import EngineFailed, OutOfMemory, PayloadError
from payload.settings import SYNTHETIC

Batch = tuple[Any, Any]
"""Images uint8 [batch, height, width, channels] and labels int32 [batch], as tensors."""

TEST_BATCH = 256

_NODE = re.compile(r"\{\{.*?\}\}")
"""The name that TensorFlow gives to a node of its graph; it tells a reader nothing."""
_FRAME = re.compile(r"Graph execution error|Detected at node|\s+File |\d+ root error")
"""What stands before the cause in an error of a compiled step: where the step was written."""
_NO_MEMORY = re.compile(r"out[ _]of[ _]memory|ALLOC_FAILED", re.IGNORECASE)


class Feed(Protocol):
    """An endless row of batches."""

    def next(self) -> Batch:
        """Return the next batch."""
        ...

    def restart(self) -> None:
        """Begin again with the first batch."""
        ...


class ResidentFeed:
    """Cycles through batches that lie on the device: no input pipeline is in the figures."""

    def __init__(self, images: Images, batch_size: int, device: str) -> None:
        with tf.device(device):
            self._batches = [
                (
                    tf.identity(images.images[start : start + batch_size]),
                    tf.identity(images.labels[start : start + batch_size]),
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

    def __init__(self, images: Images, batch_size: int, seed: int) -> None:
        self._images, self._batch_size, self._seed = images, batch_size, seed
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
        return (
            tf.convert_to_tensor(self._images.images[rows]),
            tf.convert_to_tensor(self._images.labels[rows]),
        )

    def restart(self) -> None:
        """Begin again with the first batch."""
        self._rows = self._endless_rows()


class TensorFlowTrainer:
    """Trains a Keras model on one device.

    Args:
        model: Maps images to logits.
        optimizer: Updates the weights; a `LossScaleOptimizer` for float16.
        dataset: Synthetic data lies on the device, real data is fed from host memory.
        batch_size: Images per step.
        seed: Of the data order.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.Optimizer,
        dataset: Dataset,
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        self._model, self._optimizer = model, optimizer
        self._test = dataset.test
        self._epoch_steps = len(dataset.train) // batch_size
        self._feed: Feed
        if dataset.source == SYNTHETIC:
            self._feed = ResidentFeed(dataset.train, batch_size, device())
        else:
            self._feed = ShuffledFeed(dataset.train, batch_size, seed)
        optimizer.build(model.trainable_variables)
        self._start: list[Any] | None = None
        self._step = tf.function(self._train_step, jit_compile=False)
        self._hits = tf.function(self._count_hits, jit_compile=False)

    @property
    def epoch_steps(self) -> int:
        """Return the whole batches that the training images fill."""
        return self._epoch_steps

    def remember_start(self) -> None:
        """Keep the present state in host memory, for `restart`."""
        self._start = [variable.numpy() for variable in self._variables()]

    def restart(self) -> None:
        """Return to the state that `remember_start` kept, and to the first batch.

        Raises:
            RuntimeError: If nothing was kept.
        """
        if self._start is None:
            raise RuntimeError("remember_start was not called")
        for variable, value in zip(self._variables(), self._start, strict=True):
            variable.assign(value)
        self._feed.restart()

    def run(self, steps: int) -> float:
        """Train `steps` steps and return the last loss.

        The calls only queue work on a GPU. Reading the loss waits for everything queued before
        it, so that the caller's clock sees the whole work.

        Raises:
            OutOfMemory: If the device or the host has no room for the step.
            EngineFailed: If TensorFlow, the driver or the device refuses otherwise.
        """
        with engine_errors():
            for _ in range(steps):
                loss = self._step(*self._feed.next())
            return float(loss.numpy())

    def accuracy(self) -> float:
        """Return the share of test images that are labelled rightly, between 0 and 1.

        Raises:
            ValueError: If the data has no test images.
        """
        if self._test is None:
            raise ValueError("synthetic data has no test images")
        images, labels = self._test.images, self._test.labels
        with engine_errors():
            hits = [
                self._hits(images[start : start + TEST_BATCH], labels[start : start + TEST_BATCH])
                for start in range(0, len(self._test), TEST_BATCH)
            ]
            return sum(int(count) for count in hits) / len(self._test)

    def _train_step(self, images: Any, labels: Any) -> Any:
        model, optimizer = self._model, self._optimizer
        with tf.GradientTape() as tape:
            logits = tf.cast(model(_scaled(images), training=True), tf.float32)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
            )
            scaled_loss = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    def _count_hits(self, images: Any, labels: Any) -> Any:
        logits = self._model(_scaled(images), training=False)
        found = tf.argmax(logits, axis=1, output_type=tf.int32)
        return tf.math.count_nonzero(tf.equal(found, labels))

    def _variables(self) -> list[Any]:
        return [*self._model.variables, *self._optimizer.variables]


def device() -> str:
    """Return the device that TensorFlow puts work on: the first GPU, else the CPU."""
    return "/GPU:0" if tf.config.list_logical_devices("GPU") else "/CPU:0"


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn TensorFlow's errors into the payload's.

    Raises:
        OutOfMemory: If an operation found no memory.
        EngineFailed: For any other error of an operation.
    """
    try:
        yield
    except tf.errors.OpError as error:
        raise classified(error) from error


def classified(error: tf.errors.OpError) -> PayloadError:
    """Return the payload's error for one of TensorFlow's.

    CUDA's and cuDNN's lack of memory comes as an `InternalError`, and is told by its text.
    """
    lines = _NODE.sub("", str(error.message)).splitlines()
    text = next((line.strip() for line in lines if line.strip() and not _FRAME.match(line)), "")
    if isinstance(error, tf.errors.ResourceExhaustedError) or _NO_MEMORY.search(str(error.message)):
        return OutOfMemory(text, fix="choose a smaller --batch-size")
    return EngineFailed(f"{type(error).__name__}: {text}")


def _scaled(images: Any) -> Any:
    return tf.cast(images, tf.float32) / 255.0
