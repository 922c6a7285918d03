"""Ways to train the same network, each in a process of its own that waits for its turn.

`python -m tests.benchmarks.trainers KIND NETWORK BATCH PRECISION` prints `ready`, then reads
numbers of steps from stdin, runs each and prints the seconds that a step took.

| kind    | what it is                                                                            |
|---------|---------------------------------------------------------------------------------------|
| payload | the payload's own trainer                                                             |
| fit     | Keras' `model.fit` on the same model, optimizer and data; no metrics, no shuffling,   |
|         | no XLA: all that makes it slow by default is off                                      |
| recipe  | what tf_cnn_benchmarks does: a TensorFlow 1 graph of NHWC convolutions, random images |
|         | that lie in a variable, SGD with momentum, one session call and one loss a step.      |
|         | Its L2 loss is left out, since the payload has none                                   |

Networks: `mnist` and `vgg16` are the payload's. `lenet5` is tf_cnn_benchmarks' own (28x28x3 images,
5x5x32, pool, 5x5x64, pool, dense 512, dense 1001), made of what the payload's networks are made of.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from payload import engines

os.environ["CUDA_VISIBLE_DEVICES"] = ""

Train = Callable[[int], float]
"""Trains so many steps and returns the seconds of one."""

CLASSES = {"mnist": 10, "vgg16": 1000, "lenet5": 1001}
SHAPES = {"mnist": (28, 28, 1), "lenet5": (28, 28, 3)}
VGG_SHAPE = (224, 224, 3)
LEARNING_RATE, MOMENTUM = 0.005, 0.9
VGG_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def by_payload(network: str, batch: int, precision: str) -> Train:
    """Return the payload's trainer as it would measure."""
    engine, model, optimizer, dataset, settings = _made(network, batch, precision)
    trainer = engine.trainer(model, optimizer, dataset, settings)

    def train(steps: int) -> float:
        start = time.perf_counter()
        trainer.run(steps)
        return (time.perf_counter() - start) / steps

    return train


def by_fit(network: str, batch: int, precision: str) -> Train:
    """Return `model.fit`, timed from the end of its first batch to the end of its last."""
    _, model, optimizer, dataset, _ = _made(network, batch, precision, of_keras=True)
    import keras  # noqa: PLC0415 the engine is chosen before it is imported
    import numpy as np  # noqa: PLC0415

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=False)
    images, labels = dataset.train.take(np.arange(len(dataset.train)))
    images = images.astype(np.float32) / 255

    class Times(keras.callbacks.Callback):  # type: ignore[misc]
        """When each batch was done."""

        def __init__(self) -> None:
            super().__init__()
            self.ends: list[float] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            del batch, logs
            self.ends.append(time.perf_counter())

    def train(steps: int) -> float:
        times = Times()
        rows = np.arange((steps + 1) * batch) % len(labels)
        model.fit(
            images[rows], labels[rows], batch_size=batch, shuffle=False, verbose=0,
            callbacks=[times],
        )  # fmt: skip
        return (times.ends[-1] - times.ends[0]) / steps

    return train


def by_recipe(network: str, batch: int, precision: str) -> Train:
    """Return a session of a TensorFlow 1 graph."""
    if precision != "fp32":
        raise ValueError("the recipe is measured in fp32")
    import tensorflow as tf  # noqa: PLC0415

    v1 = tf.compat.v1
    with tf.Graph().as_default():
        shape, classes = SHAPES.get(network, VGG_SHAPE), CLASSES[network]
        images = v1.get_variable(
            "images", initializer=tf.random.truncated_normal((batch, *shape)), trainable=False
        )
        labels = v1.get_variable(
            "labels", initializer=tf.random.uniform([batch], 0, classes, tf.int32), trainable=False
        )
        layers = _lenet5 if network == "lenet5" else _vgg16
        logits = _affine(layers(images), classes, relu=False)
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        )
        step = v1.train.MomentumOptimizer(LEARNING_RATE, MOMENTUM).minimize(loss)
        session = v1.Session()
        session.run(v1.global_variables_initializer())

    def train(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            session.run([step, loss])
        return (time.perf_counter() - start) / steps

    return train


def _made(
    network: str, batch: int, precision: str, *, of_keras: bool = False
) -> tuple[Any, Any, Any, Any, Any]:
    """Return engine, model, optimizer, data and settings of a run of the payload.

    They are made of the engine's parts, or of Keras' own, as they are where `fit` is used.
    """
    from payload.settings import Settings  # noqa: PLC0415

    height, _, channels = SHAPES.get(network, VGG_SHAPE)
    settings = Settings(
        "mnist" if network == "mnist" else "vgg16", batch, precision,
        image_size=height, channels=channels, classes=CLASSES[network],
        learning_rate=None if network == "mnist" else LEARNING_RATE,
    )  # fmt: skip
    engine = engines.load("tensorflow")
    from payload import models  # noqa: PLC0415 the engine is chosen before Keras is imported
    from payload.data import dataset as data  # noqa: PLC0415

    engine.set_up(settings)
    parts = models.KERAS_PARTS if of_keras else engine.parts(precision)
    with engine.scope():
        if network == "lenet5":
            model = _keras_lenet5(models.POLICIES[precision], parts)
        else:
            model = models.build(
                settings.model, image_shape=settings.image_shape, classes=settings.classes,
                precision=precision, parts=parts,
            )  # fmt: skip
        optimizer = models.optimizer(
            settings.model, precision=precision, learning_rate=settings.learning_rate, parts=parts
        )
    return engine, model, optimizer, data.load(settings), settings


def _keras_lenet5(dtype: str, parts: Any) -> Any:
    import keras  # noqa: PLC0415 the engine is chosen before it is imported

    images = x = keras.Input(SHAPES["lenet5"])
    for filters in (32, 64):
        x = parts.conv2d(filters, 5, padding="same", activation="relu", dtype=dtype)(x)
        x = keras.layers.MaxPooling2D(2, dtype=dtype)(x)
    x = keras.layers.Flatten(dtype=dtype)(x)
    x = keras.layers.Dense(512, activation="relu", dtype=dtype)(x)
    return keras.Model(images, keras.layers.Dense(CLASSES["lenet5"], dtype=dtype)(x))


def _lenet5(images: Any) -> Any:
    x = _pool(_conv(images, 32, 5))
    return _affine(_pool(_conv(x, 64, 5)), 512)


def _vgg16(images: Any) -> Any:
    import tensorflow as tf  # noqa: PLC0415

    x = images
    for filters, depth in VGG_BLOCKS:
        for _ in range(depth):
            x = _conv(x, filters, 3)
        x = _pool(x)
    for _ in range(2):
        x = tf.nn.dropout(_affine(x, 4096), rate=0.5)
    return x


def _conv(x: Any, filters: int, size: int) -> Any:
    import tensorflow as tf  # noqa: PLC0415

    shape = (size, size, int(x.shape[-1]), filters)
    kernel = _variable(shape, (2 / (size * size * shape[2])) ** 0.5)
    conv = tf.nn.conv2d(x, kernel, strides=1, padding="SAME")
    return tf.nn.relu(tf.nn.bias_add(conv, _variable((filters,), 0.0)))


def _pool(x: Any) -> Any:
    import tensorflow as tf  # noqa: PLC0415

    return tf.nn.max_pool2d(x, 2, 2, "VALID")


def _affine(x: Any, width: int, *, relu: bool = True) -> Any:
    import tensorflow as tf  # noqa: PLC0415

    x = tf.reshape(x, [x.shape[0], -1])
    inputs = int(x.shape[1])
    kernel = _variable((inputs, width), (2 / inputs) ** 0.5)
    x = tf.nn.bias_add(tf.matmul(x, kernel), _variable((width,), 0.0))
    return tf.nn.relu(x) if relu else x


def _variable(shape: tuple[int, ...], deviation: float) -> Any:
    import tensorflow as tf  # noqa: PLC0415

    v1 = tf.compat.v1
    number = len(v1.global_variables())
    start = tf.random.truncated_normal(shape, stddev=deviation)
    return v1.get_variable(f"variable-{number}", initializer=start)


KINDS = {"payload": by_payload, "fit": by_fit, "recipe": by_recipe}


def main(kind: str, network: str, batch: str, precision: str) -> None:
    """Train whenever a line on stdin says how many steps."""
    train = KINDS[kind](network, int(batch), precision)
    train(1)  # compiles
    print("ready", flush=True)
    for line in sys.stdin:
        print(train(int(line)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
