"""What the device can do at best, measured with the run's own engine: matmul, convolution, memory.

A model's operations per second beside these say how much of the device it uses, without a data
sheet, and for a vGPU or a few cores of a CPU just as for a whole card.

| probe          | one call                                      | amount                      |
|----------------|-----------------------------------------------|-----------------------------|
| matmul         | [n, n] x [n, n] in the precision of the run   | 2 n^3 operations            |
| convolution    | the model's costliest, forward, at some batch | 2 MAC operations per image  |
| memory         | x + 1 of float32                              | 8 bytes per number          |
| host to device | a copy from ordinary memory, GPUs only        | 4 bytes per number          |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from keras import ops

from payload.convolution import Convolution
from payload.document import Json
from payload.engines.port import Engine
from payload.flops import FLOP_PER_MAC
from payload.probe import Timer, Work, per_second

DTYPES = {"fp32": "float32", "mixed_bf16": "bfloat16", "mixed_fp16": "float16"}
MATMUL_SIZES = (512, 1024, 2048, 4096, 8192)
BATCHES = tuple(4**power for power in range(9))
LARGEST_INPUT = 512 << 20
"""Bytes of one convolution's input."""
MEMORY_SIZES = (2**22, 2**24, 2**26)
"""Numbers of float32: 16 to 256 MiB, beyond most caches."""
TRANSFER_SIZES = (2**22, 2**24, 2**26)

Announce = Callable[[str], None]


class Ceilings:
    """Measures the ceilings of one device.

    Args:
        engine: The run's own, set up.
        precision: A key of `DTYPES`; also decides about TF32, as the engine was set up.
        timer: The clock, and the seconds for each probe.
        has_gpu: Whether the engine works on a GPU.
    """

    def __init__(self, engine: Engine, precision: str, timer: Timer, *, has_gpu: bool) -> None:
        self._engine, self._timer, self._has_gpu = engine, timer, has_gpu
        self._dtype = DTYPES[precision]

    def measure(self, convolutions: tuple[Convolution, ...], announce: Announce) -> Json:
        """Return each ceiling; one that memory did not suffice for is `None`.

        Raises:
            EngineFailed: If the framework, the driver or the device refuses.
            Interrupted: If a stop was requested.
        """
        announce("matmul")
        matmul = self._run(self._matmul(size) for size in MATMUL_SIZES)
        announce("convolution")
        convolution = self._fastest(convolutions)
        announce("memory")
        memory = self._run(self._memory(count) for count in MEMORY_SIZES)
        transfer = None
        if self._has_gpu:
            announce("host to device")
            transfer = self._run(self._transfer(count) for count in TRANSFER_SIZES)
        return {
            "seconds": self._timer.seconds,
            "dtype": self._dtype,
            "matmul": matmul,
            "convolution": convolution,
            "memory": memory,
            "host_to_device": transfer,
        }

    def _run(self, sizes: Iterator[Callable[[], Work]]) -> Json | None:
        return per_second(sizes, self._timer)

    def _fastest(self, convolutions: tuple[Convolution, ...]) -> Json | None:
        """Return the fastest of several shapes that cost alike: kernels suit some better."""
        timer = replace(self._timer, seconds=self._timer.seconds / len(convolutions))
        found = [per_second(self._convolution(each), timer) for each in convolutions]
        known = [each for each in found if each is not None]
        return max(known, key=lambda each: float(each["per_second"]), default=None)

    def _matmul(self, size: int) -> Callable[[], Work]:
        def product(left: Any, right: Any) -> Any:  # one for each size: TensorFlow traces it
            return ops.matmul(left, right)

        def make() -> Work:
            # Of variance 1/n, so that a product is as large as its factor: x = a x can go on.
            factor = self._random((size, size), np.sqrt(3 / size))
            first = self._random((size, size), 1.0)
            call = self._engine.compiled(product)
            shape = {"shape": [size, size, size]}
            return Work(shape, 2 * size**3, self._chain(partial(call, factor), first))

        return make

    def _memory(self, count: int) -> Callable[[], Work]:
        def make() -> Work:
            with self._engine.errors():
                numbers = self._engine.place(np.zeros(count, np.float32))
            call = self._engine.compiled(lambda values: values + 1)
            return Work({"bytes": 4 * count}, 8 * count, self._chain(call, numbers))

        return make

    def _transfer(self, count: int) -> Callable[[], Work]:
        def make() -> Work:
            numbers = np.ones(count, np.float32)
            call = partial(self._engine.place, numbers)
            return Work({"bytes": 4 * count}, 4 * count, self._independent(call))

        return make

    def _convolution(self, layer: Convolution) -> Iterator[Callable[[], Work]]:
        """Yield the work at growing batch sizes."""
        one = 4 * layer.height * layer.width * layer.inputs
        for batch in (each for each in BATCHES if each * one <= LARGEST_INPUT or each == 1):
            yield partial(self._convolution_of, layer, batch)

    def _convolution_of(self, layer: Convolution, batch: int) -> Work:
        images = self._random((batch, layer.height, layer.width, layer.inputs), 1.0)
        kernel = self._random(layer.kernel_shape, 0.1)
        call = self._engine.compiled(
            lambda inputs, weights: ops.conv(
                inputs, weights, padding="same", data_format="channels_last"
            )
        )
        shape = {
            "batch": batch,
            "image": [layer.height, layer.width, layer.inputs],
            "kernel": list(layer.kernel_shape),
        }
        repeat = self._independent(partial(call, images, kernel))
        return Work(shape, FLOP_PER_MAC * layer.macs * batch, repeat)

    def _random(self, shape: tuple[int, ...], limit: float) -> Any:
        """Return numbers between +-limit on the device, in the precision of the run."""
        numbers = np.random.default_rng(0).random(shape, dtype=np.float32)
        numbers *= np.float32(2 * limit)
        numbers -= np.float32(limit)
        with self._engine.errors():
            return ops.cast(self._engine.place(numbers), self._dtype)

    def _chain(self, call: Callable[[Any], Any], first: Any) -> Callable[[int], None]:
        """Return what applies `call` to its own result: no two calls can run at once."""

        def repeat(count: int) -> None:
            with self._engine.errors():
                result = first
                for _ in range(count):
                    result = call(result)
                self._engine.wait(result)

        return repeat

    def _independent(self, call: Callable[[], Any]) -> Callable[[int], None]:
        """Return what makes calls that a GPU works off in order; a CPU gets one at a time."""

        def repeat(count: int) -> None:
            with self._engine.errors():
                for number in range(1, count + 1):
                    result = call()
                    if not self._has_gpu or number == count:
                        self._engine.wait(result)

        return repeat
