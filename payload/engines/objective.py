"""What every engine computes alike, in Keras' operations: input, loss and hits."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from payload import models


def logits_of(model: keras.Model, images: Any, *, training: bool) -> Any:
    """Return float32 logits [batch, classes] of uint8 images."""
    return ops.cast(model(scaled(images), training=training), "float32")


def scaled(images: Any) -> Any:
    """Return uint8 images as float32 between 0 and 1."""
    return ops.cast(images, "float32") / 255.0


def mean_loss(labels: Any, logits: Any) -> Any:
    """Return the mean cross-entropy of softmax(logits) against labels [batch]."""
    return ops.mean(ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))


def count_hits(labels: Any, logits: Any) -> Any:
    """Return how many of the largest logits are those of the labels."""
    found = ops.cast(ops.argmax(logits, axis=-1), "int32")
    return ops.sum(ops.cast(ops.equal(found, labels), "int32"))


def initialise(model: keras.Model, seed: int) -> None:
    """Give the model weights that depend on the seed alone, the same in every engine.

    Kernels are uniform within `models.kernel_limit`, biases zero. Keras would draw them from the
    framework's generator.
    """
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if kernels := [weight for weight in layer.weights if weight.path.endswith("/kernel")]:
            (kernel,) = kernels
            drawn = random.random(kernel.shape, dtype=np.float32)
            limit = models.kernel_limit(model.name, kernel.shape)
            kernel.assign((2 * drawn - 1) * np.float32(limit))
