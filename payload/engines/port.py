"""What the payload asks of a training framework."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from payload.data.dataset import Dataset
from payload.document import Json
from payload.loop import Trainer
from payload.settings import Settings

if TYPE_CHECKING:
    import keras

    from payload.models import Parts

Tensor = Any
"""A tensor of the framework: no class is common to the three."""


class Engine(Protocol):
    """A framework with its devices.

    `set_up` comes first and once: most switches are read when a device is first touched.
    """

    name: str

    def set_up(self, settings: Settings) -> None:
        """Apply threads, TF32, determinism and the number of devices, and seed everything.

        Raises:
            EngineFailed: If the machine has fewer devices than were asked for.
        """
        ...

    def describe(self) -> Json:
        """Return versions, devices and switches: `environment.framework` of the document.

        `tensor_float_32` matters for every fp32 figure on Ampere and later: there float32 is
        multiplied with 10 bits of mantissa where it is true. `gpus` has `device`, `name` and
        `compute_capability` of each that the framework sees; `devices` names those that train.
        0 threads is the framework's own choice.
        """
        ...

    def errors(self) -> AbstractContextManager[None]:
        """Turn the framework's errors into the payload's, inside a `with`.

        Raises:
            OutOfMemory: If an operation found no memory.
            EngineFailed: For any other error of an operation.
        """
        ...

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which model and optimizer are made."""
        ...

    def parts(self, precision: str) -> Parts:
        """Return what models and optimizers are made of, as this engine runs it fastest."""
        ...

    def trainer(
        self, model: keras.Model, optimizer: keras.Optimizer, dataset: Dataset, settings: Settings
    ) -> Trainer:
        """Return what trains `model`; the loop drives it."""
        ...

    def place(self, array: np.ndarray[Any, Any]) -> Tensor:
        """Return `array` as a tensor on the (first) device."""
        ...

    def compiled(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Return a function of tensors as this engine runs it fastest without further options."""
        ...

    def wait(self, tensor: Tensor) -> None:
        """Return when the device has computed `tensor` and everything queued before it."""
        ...
