"""The shape of a convolution, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution of stride 1 that keeps height and width."""

    height: int
    width: int
    inputs: int
    outputs: int
    window: tuple[int, int]

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        """Return the kernel's height, width, input and output channels."""
        return (*self.window, self.inputs, self.outputs)

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates of one image."""
        return prod(self.kernel_shape) * self.height * self.width
