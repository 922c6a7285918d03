"""Floating-point operations per image, counted from the shapes of a network's layers.

Counted are multiply-accumulates (MAC) of convolutions and dense layers, two operations each; what
biases, activations and poolings add is below one per cent. Padding counts as if it were image,
as the published figures do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod

import keras
from keras import layers

from payload.convolution import Convolution

FLOP_PER_MAC = 2


@dataclass(frozen=True, slots=True)
class Flops:
    """Floating-point operations for one image: `forward`, and `training` (forward and backward)."""

    forward: int
    training: int

    def as_dict(self) -> dict[str, int]:
        """Return both by name."""
        return asdict(self)


def costliest(model: keras.Model) -> tuple[Convolution, ...]:
    """Return the convolutions that cost most, each shape once: several may cost alike."""
    found = [_convolution(layer) for layer in model.layers if isinstance(layer, layers.Conv2D)]
    most = max(each.macs for each in found)
    return tuple(dict.fromkeys(each for each in found if each.macs == most))


def _convolution(layer: layers.Conv2D) -> Convolution:
    _, height, width, _ = layer.output.shape
    *window, inputs, outputs = layer.kernel.shape
    return Convolution(height, width, inputs, outputs, (window[0], window[1]))


def per_image(model: keras.Model) -> Flops:
    """Return the operations that one image costs.

    A layer of m MAC forward costs m for the gradient of its kernel and m for the gradient of its
    input; the first layer has no use for the latter. So training costs `3*sum(m) - m_first`.
    """
    macs = [count for layer in model.layers if (count := layer_macs(layer))]
    return Flops(
        forward=FLOP_PER_MAC * sum(macs), training=FLOP_PER_MAC * (3 * sum(macs) - macs[0])
    )


def layer_macs(layer: keras.Layer) -> int:
    """Return the multiply-accumulates of one layer for one image, 0 for layers without a kernel.

    Convolution: `k*k*c_in*c_out` for each of the `h*w` output positions. Dense: `n_in*n_out`.
    """
    if isinstance(layer, layers.Conv2D):
        return _convolution(layer).macs
    if isinstance(layer, layers.Dense):
        return int(prod(layer.kernel.shape))
    return 0
