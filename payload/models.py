"""The networks, as functional Keras models that end in logits.

A convolution with k x k kernels has `k*k*c_in*c_out + c_out` parameters, a dense layer
`n_in*n_out + n_out`. Activations are [batch, height, width, channels].

`dtype` is a Keras dtype policy: `float32`, `mixed_bfloat16` or `mixed_float16`. It is given to
every layer, so that building a model changes no global state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
from keras import layers

from payload.settings import optimizer_of

POLICIES = {"fp32": "float32", "mixed_bf16": "mixed_bfloat16", "mixed_fp16": "mixed_float16"}

VGG_FILTERS = (64, 128, 256, 512, 512)
VGG_DEPTHS = {
    # Convolutions per block: configurations A, B, D and E of Simonyan and Zisserman (2014),
    # table 1. With three dense layers each they have 11, 13, 16 and 19 layers with weights.
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}


@dataclass(frozen=True, slots=True)
class Parts:
    """The classes that networks and optimizers are made of: Keras' own, or an engine's faster."""

    conv2d: type[layers.Conv2D] = layers.Conv2D
    adam: type[keras.optimizers.Adam] = keras.optimizers.Adam
    sgd: type[keras.optimizers.SGD] = keras.optimizers.SGD


KERAS_PARTS = Parts()


def build(
    name: str,
    *,
    image_shape: tuple[int, int, int],
    classes: int,
    precision: str,
    parts: Parts = KERAS_PARTS,
) -> keras.Model:
    """Return the network called `name`, built and with fresh weights.

    Args:
        name: `mnist`, `vgg11`, `vgg13`, `vgg16` or `vgg19`.
        image_shape: Height, width and channels.
        classes: Number of logits.
        precision: A key of `POLICIES`.
        parts: What it is made of.
    """
    dtype = POLICIES[precision]
    if name == "mnist":
        return mnist_cnn(image_shape, classes, dtype, parts)
    return vgg(name, image_shape, classes, dtype, parts)


def mnist_cnn(
    image_shape: tuple[int, int, int], classes: int, dtype: str, parts: Parts
) -> keras.Model:
    """Return the convolutional network of the TensorFlow MNIST tutorial ("Deep MNIST").

    | layer             | output       | parameters                     |
    |-------------------|--------------|--------------------------------|
    | conv 5x5, 32      | 28 x 28 x 32 | 5*5*1*32 + 32       =       832 |
    | max pool 2x2      | 14 x 14 x 32 |                                |
    | conv 5x5, 64      | 14 x 14 x 64 | 5*5*32*64 + 64      =    51,264 |
    | max pool 2x2      | 7 x 7 x 64   |                                |
    | dense 1024        | 1024         | 3136*1024 + 1024    = 3,212,288 |
    | dropout 0.5       | 1024         |                                |
    | dense 10          | 10           | 1024*10 + 10        =    10,250 |
    |                   |              | together              3,274,634 |
    """
    images = x = keras.Input(image_shape)
    for filters in (32, 64):
        x = parts.conv2d(filters, 5, padding="same", activation="relu", dtype=dtype)(x)
        x = layers.MaxPooling2D(2, dtype=dtype)(x)
    x = layers.Flatten(dtype=dtype)(x)
    x = layers.Dense(1024, activation="relu", dtype=dtype)(x)
    x = layers.Dropout(0.5, dtype=dtype)(x)
    return keras.Model(images, layers.Dense(classes, dtype=dtype)(x), name="mnist")


def vgg(
    name: str, image_shape: tuple[int, int, int], classes: int, dtype: str, parts: Parts
) -> keras.Model:
    """Return a VGG network (Simonyan and Zisserman 2014, arXiv 1409.1556).

    Five blocks of 3x3 convolutions with 64, 128, 256, 512 and 512 filters, each followed by a
    2x2 pooling, then dense 4096, 4096 and `classes`, with dropout 0.5 between the dense layers.
    For an image of side s the first dense layer has `(s//32)**2 * 512 * 4096 + 4096` parameters,
    102,764,544 of VGG-16's 138,357,544 for 224 x 224 x 3 and 1000 classes.
    """
    images = x = keras.Input(image_shape)
    for filters, depth in zip(VGG_FILTERS, VGG_DEPTHS[name], strict=True):
        for _ in range(depth):
            x = parts.conv2d(filters, 3, padding="same", activation="relu", dtype=dtype)(x)
        x = layers.MaxPooling2D(2, dtype=dtype)(x)
    x = layers.Flatten(dtype=dtype)(x)
    for _ in range(2):
        x = layers.Dense(4096, activation="relu", dtype=dtype)(x)
        x = layers.Dropout(0.5, dtype=dtype)(x)
    return keras.Model(images, layers.Dense(classes, dtype=dtype)(x), name=name)


def kernel_limit(name: str, shape: Sequence[int]) -> float:
    """Return the largest number that a kernel of this shape begins with.

    MNIST: `sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio 2010), as Keras has it. That halves
    the variance of activations in each layer with ReLU, too much for the depth of VGG, which has
    `sqrt(6 / fan_in)` (He et al. 2015, arXiv 1502.01852).
    """
    *window, inputs, outputs = shape
    fans = inputs + outputs if name == "mnist" else inputs
    return math.sqrt(6 / (math.prod(window) * fans))


def optimizer(
    name: str, *, precision: str, learning_rate: float | None, parts: Parts = KERAS_PARTS
) -> keras.Optimizer:
    """Return the optimizer a network is trained with: Adam for MNIST, SGD with momentum for VGG.

    float16 has a smallest normal number of 6e-5, so that small gradients vanish in it: there the
    loss is scaled up, and the gradients down again. bfloat16 has the range of float32.
    """
    kind, default = optimizer_of(name)
    chosen: keras.Optimizer
    if kind == "adam":
        chosen = parts.adam(learning_rate or default)
    else:
        chosen = parts.sgd(learning_rate or default, momentum=0.9)
    if precision == "mixed_fp16":
        return keras.optimizers.LossScaleOptimizer(chosen)
    return chosen
