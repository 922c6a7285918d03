"""Training with JAX: one jitted step over Keras' stateless interface."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import jax
import jaxlib
import keras
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from payload.data.dataset import Dataset
from payload.document import Json
from payload.engines import objective
from payload.engines.port import Engine
from payload.engines.trainer import KerasTrainer, State
from payload.errors import EngineFailed, OutOfMemory, PayloadError
from payload.models import KERAS_PARTS, Parts
from payload.settings import Settings


class Jax(Engine):
    """JAX on its first device, or on several that each take a part of the batch."""

    name = "jax"

    def __init__(self) -> None:
        self._devices: list[Any] = []
        self._threads = 0
        self._deterministic = False

    def set_up(self, settings: Settings) -> None:
        """Apply the switches, seed everything, choose the devices."""
        self._threads, self._deterministic = settings.threads, settings.deterministic
        if settings.threads:
            os.environ["NPROC"] = str(
                settings.threads
            )  # what XLA takes its thread pool's size from
        if settings.deterministic:
            flags = os.environ.get("XLA_FLAGS", ""), "--xla_gpu_deterministic_ops=true"
            os.environ["XLA_FLAGS"] = " ".join(flags).strip()
        precision = "tensorfloat32" if settings.tf32 else "float32"
        jax.config.update("jax_default_matmul_precision", precision)
        if settings.devices > 1:
            jax.config.update("jax_num_cpu_devices", settings.devices)  # GPUs are not touched
        with self.errors():
            found = jax.devices()
        if len(found) < settings.devices:
            raise EngineFailed(f"--devices {settings.devices}: JAX sees {len(found)} GPUs")
        self._devices = found[: settings.devices]
        random.seed(settings.seed)  # Keras draws the seeds of dropout from it

    def describe(self) -> Json:
        """Return versions, devices and switches."""
        return {
            "jax": jax.__version__,
            "jaxlib": jaxlib.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
            "platform": self._devices[0].client.platform_version,
            "tensor_float_32": jax.config.jax_default_matmul_precision == "tensorfloat32",
            "threads": self._threads,
            "deterministic": self._deterministic,
            "devices": [str(device) for device in self._devices],
            "gpus": [_gpu(device) for device in jax.devices() if device.platform == "gpu"],
        }

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn JAX' errors into the payload's."""
        try:
            yield
        except jax.errors.JaxRuntimeError as error:
            raise classified(error) from error

    def scope(self) -> AbstractContextManager[Any]:
        """Return a context that does nothing: arrays are placed by the trainer."""
        return nullcontext()

    def parts(self, precision: str) -> Parts:
        """Return Keras' own."""
        del precision
        return KERAS_PARTS

    def trainer(
        self, model: keras.Model, optimizer: keras.Optimizer, dataset: Dataset, settings: Settings
    ) -> JaxTrainer:
        """Return what trains `model`."""
        return JaxTrainer(self, self._devices, model, optimizer, dataset, settings)

    def place(self, array: np.ndarray[Any, Any]) -> Any:
        """Return `array` on the first device."""
        return jax.device_put(array, self._devices[0])

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` compiled by XLA."""
        program: Callable[..., Any] = jax.jit(function)
        return program

    def wait(self, tensor: Any) -> None:
        """Wait until `tensor` is computed."""
        jax.block_until_ready(tensor)


class JaxTrainer(KerasTrainer):
    """Trains a Keras model whose variables live outside of it, as arrays.

    With several devices each holds all variables and a part of the batch; XLA adds what sums the
    gradients, since it sees one program over the whole batch.
    """

    def __init__(
        self,
        engine: Jax,
        devices: list[Any],
        model: keras.Model,
        optimizer: keras.Optimizer,
        dataset: Dataset,
        settings: Settings,
    ) -> None:
        self._model, self._optimizer = model, optimizer
        mesh = Mesh(np.array(devices), ("batch",))
        self._everywhere = NamedSharding(mesh, PartitionSpec())
        split = NamedSharding(mesh, PartitionSpec("batch"))
        super().__init__(
            engine, dataset, settings, place=lambda array: jax.device_put(array, split)
        )
        optimizer.build(model.trainable_variables)
        self._variables = self._spread(
            (
                _values(model.trainable_variables),
                _values(model.non_trainable_variables),
                _values(optimizer.variables),
            )
        )
        # The old variables are given away: the new ones may take their place in memory.
        self._compiled_step = jax.jit(self._train_step, donate_argnums=0)
        self._compiled_hits = jax.jit(self._count_hits)

    def _spread(self, variables: Any) -> Any:
        return jax.device_put(variables, self._everywhere)

    def _step(self, images: Any, labels: Any) -> Any:
        self._variables, loss = self._compiled_step(self._variables, images, labels)
        return loss

    def _finish(self, loss: Any) -> float:
        # The loss of the last step is known before its update of the weights is done.
        jax.block_until_ready((loss, self._variables))
        return float(loss)

    def _train_step(self, variables: Any, images: Any, labels: Any) -> Any:
        trainable, others, optimizer = variables
        gradient = jax.value_and_grad(self._loss, has_aux=True)
        (_, (loss, others)), gradients = gradient(trainable, others, optimizer, images, labels)
        trainable, optimizer = self._optimizer.stateless_apply(optimizer, gradients, trainable)
        return (trainable, others, optimizer), loss

    def _loss(self, trainable: Any, others: Any, optimizer: Any, images: Any, labels: Any) -> Any:
        """Return the loss as float16 needs it scaled, and the loss itself with the new state."""
        logits, others = self._model.stateless_call(
            trainable, others, objective.scaled(images), training=True
        )
        loss = objective.mean_loss(labels, keras.ops.cast(logits, "float32"))
        mapping = list(zip(self._optimizer.variables, optimizer, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            scaled_loss = self._optimizer.scale_loss(loss)
        return scaled_loss, (loss, others)

    def _hits(
        self, images: np.ndarray[Any, np.dtype[Any]], labels: np.ndarray[Any, np.dtype[Any]]
    ) -> int:
        trainable, others, _ = self._variables
        return int(self._compiled_hits(trainable, others, images, labels))

    def _count_hits(self, trainable: Any, others: Any, images: Any, labels: Any) -> Any:
        logits, _ = self._model.stateless_call(
            trainable, others, objective.scaled(images), training=False
        )
        return objective.count_hits(labels, logits)

    def _state(self) -> State:
        return [np.array(value) for value in jax.tree.leaves(self._variables)]

    def _set_state(self, state: State) -> None:
        structure = jax.tree.structure(self._variables)
        self._variables = self._spread(jax.tree.unflatten(structure, state))


def classified(error: Exception) -> PayloadError:
    """Return the payload's error for one of XLA's, which begins with its kind."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else ""
    if "RESOURCE_EXHAUSTED" in str(error):
        return OutOfMemory(text, fix="choose a smaller --batch-size")
    return EngineFailed(f"{type(error).__name__}: {text}")


def _values(variables: Any) -> list[Any]:
    return [variable.value for variable in variables]


def _gpu(device: Any) -> Json:
    return {
        "device": str(device),
        "name": device.device_kind,
        "compute_capability": getattr(device, "compute_capability", None),
    }
