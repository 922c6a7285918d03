"""Training with PyTorch: one eager step, differentiated by autograd.

It measures Keras on PyTorch. A model written for PyTorch itself was faster on two CPU cores
(0.84 to 0.87 of the TensorFlow loop against 0.54 to 0.57): Keras checks and converts around every
layer.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import keras
import numpy as np
import torch

from payload.data.dataset import Dataset
from payload.document import Json
from payload.engines import objective
from payload.engines.port import Engine
from payload.engines.trainer import KerasTrainer, State
from payload.errors import EngineFailed, OutOfMemory, PayloadError
from payload.models import KERAS_PARTS, Parts
from payload.settings import Settings

_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory|ALLOC_FAILED")


class Torch(Engine):
    """PyTorch on its first GPU, else the CPU."""

    name = "torch"

    def set_up(self, settings: Settings) -> None:
        """Apply the switches and seed everything."""
        random.seed(settings.seed)  # Keras draws the seeds of dropout from it
        torch.manual_seed(settings.seed)
        if settings.threads:
            torch.set_num_threads(settings.threads)
        torch.backends.cuda.matmul.allow_tf32 = settings.tf32
        torch.backends.cudnn.allow_tf32 = settings.tf32
        torch.backends.cudnn.benchmark = not settings.deterministic  # try kernels, take the fastest
        if settings.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
            torch.use_deterministic_algorithms(mode=True)

    def describe(self) -> Json:
        """Return versions, devices and switches."""
        gpus = [_gpu(number) for number in range(torch.cuda.device_count())]
        return {
            "torch": torch.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "tensor_float_32": torch.backends.cuda.matmul.allow_tf32,
            "intra_op_threads": torch.get_num_threads(),
            "inter_op_threads": torch.get_num_interop_threads(),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "devices": [_device()],
            "gpus": gpus,
        }

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn PyTorch's errors into the payload's: all of them are `RuntimeError`s."""
        try:
            yield
        except RuntimeError as error:
            raise classified(error) from error

    def scope(self) -> AbstractContextManager[Any]:
        """Return a context that does nothing."""
        return nullcontext()

    def parts(self, precision: str) -> Parts:
        """Return Keras' own."""
        del precision
        return KERAS_PARTS

    def trainer(
        self, model: keras.Model, optimizer: keras.Optimizer, dataset: Dataset, settings: Settings
    ) -> TorchTrainer:
        """Return what trains `model`."""
        return TorchTrainer(self, model, optimizer, dataset, settings)

    def place(self, array: np.ndarray[Any, Any]) -> Any:
        """Return `array` on the device."""
        return torch.from_numpy(array).to(_device())

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` itself: the engine runs eagerly."""
        return function

    def wait(self, tensor: Any) -> None:
        """Wait for the device of `tensor`; a CPU computes before it returns."""
        if tensor.is_cuda:
            torch.cuda.synchronize(tensor.device)


class TorchTrainer(KerasTrainer):
    """Trains a Keras model, which is a `torch.nn.Module` here, on one device."""

    def __init__(
        self,
        engine: Torch,
        model: keras.Model,
        optimizer: keras.Optimizer,
        dataset: Dataset,
        settings: Settings,
    ) -> None:
        self._model, self._optimizer = model, optimizer
        super().__init__(engine, dataset, settings, place=engine.place)
        optimizer.build(model.trainable_variables)

    def _step(self, images: Any, labels: Any) -> Any:
        model, optimizer = self._model, self._optimizer
        variables = model.trainable_variables
        model.zero_grad()
        loss = objective.mean_loss(labels, objective.logits_of(model, images, training=True))
        optimizer.scale_loss(loss).backward()
        with torch.no_grad():
            optimizer.apply([variable.value.grad for variable in variables], variables)
        return loss.detach()

    def _finish(self, loss: Any) -> float:
        self._engine.wait(loss)
        return float(loss)

    def _hits(
        self, images: np.ndarray[Any, np.dtype[Any]], labels: np.ndarray[Any, np.dtype[Any]]
    ) -> int:
        with torch.no_grad():
            logits = objective.logits_of(self._model, self._engine.place(images), training=False)
            return int(objective.count_hits(self._engine.place(labels), logits))

    def _state(self) -> State:
        # Dropout draws from PyTorch's own generators, not from a variable of Keras.
        draws = [generator.get_state().numpy() for generator in _generators()]
        return [*draws, *(np.array(variable.numpy()) for variable in self._variables())]

    def _set_state(self, state: State) -> None:
        generators = _generators()
        for generator, draw in zip(generators, state, strict=False):
            generator.set_state(torch.from_numpy(draw))
        for variable, value in zip(self._variables(), state[len(generators) :], strict=True):
            variable.assign(value)

    def _variables(self) -> list[Any]:
        return [*self._model.variables, *self._optimizer.variables]


def classified(error: RuntimeError) -> PayloadError:
    """Return the payload's error for one of PyTorch's, told by its text."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else ""
    if isinstance(error, torch.OutOfMemoryError) or _NO_MEMORY.search(str(error)):
        return OutOfMemory(text, fix="choose a smaller --batch-size")
    return EngineFailed(f"{type(error).__name__}: {text}")


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _generators() -> list[Any]:
    """Return the generators of random numbers, of the CPU and of the GPU that trains."""
    if not torch.cuda.is_available():
        return [torch.default_generator]
    return [torch.default_generator, torch.cuda.default_generators[0]]


def _gpu(number: int) -> Json:
    major, minor = torch.cuda.get_device_capability(number)
    return {
        "device": f"cuda:{number}",
        "name": torch.cuda.get_device_name(number),
        "compute_capability": f"{major}.{minor}",
    }
