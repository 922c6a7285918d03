"""Training with TensorFlow: one compiled step, called in an own loop.

Keras' `fit` was measured at 5 (VGG-16) to 16 per cent (MNIST) below the speed of such a loop on
two CPU cores in fp32 (`make bench`).
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from payload.data.dataset import Dataset
from payload.document import Json
from payload.engines import objective
from payload.engines.fused import FusedAdam, FusedSGD, SeparateBiasConv2D
from payload.engines.port import Engine
from payload.engines.trainer import KerasTrainer, State
from payload.errors import EngineFailed, OutOfMemory, PayloadError
from payload.models import Parts
from payload.settings import Settings
from payload.workers.cluster import TF_CONFIG, Cluster

_NODE = re.compile(r"\{\{.*?\}\}")
"""The name that TensorFlow gives to a node of its graph; it tells a reader nothing."""
_FRAME = re.compile(r"Graph execution error|Detected at node|\s+File |\d+ root error")
"""What stands before the cause in an error of a compiled step: where the step was written."""
_NO_MEMORY = re.compile(
    r"out[ _]of[ _]memory|ALLOC_FAILED|Status: ?1, message",
    re.IGNORECASE,
)
"""CUDA, cuDNN, and oneDNN, whose status 1 is `dnnl_out_of_memory`."""


class TensorFlow(Engine):
    """TensorFlow on its first GPU, else the CPU; on several GPUs with a `MirroredStrategy`."""

    name = "tensorflow"

    def __init__(self) -> None:
        self._strategy = tf.distribute.get_strategy()
        self._devices: list[str] = []
        self._deterministic = False

    def set_up(self, settings: Settings) -> None:
        """Apply the switches, seed everything, choose the devices."""
        keras.utils.set_random_seed(settings.seed)
        tf.config.threading.set_intra_op_parallelism_threads(settings.threads)
        tf.config.experimental.enable_tensor_float_32_execution(settings.tf32)
        self._deterministic = settings.deterministic
        if settings.deterministic:
            tf.config.experimental.enable_op_determinism()
        self._devices = _devices(settings.devices)
        if settings.cluster is not None:
            self._strategy = _strategy_of_workers(settings.cluster, settings.devices)
        elif settings.devices > 1:
            self._strategy = tf.distribute.MirroredStrategy(self._devices)

    def describe(self) -> Json:
        """Return versions, devices and switches."""
        build = tf.sysconfig.get_build_info()
        return {
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
            "cuda": build.get("cuda_version"),
            "cudnn": build.get("cudnn_version"),
            "tensor_float_32": tf.config.experimental.tensor_float_32_execution_enabled(),
            "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
            "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
            "deterministic": self._deterministic,
            "devices": self._devices,
            "gpus": [_gpu(device) for device in tf.config.list_physical_devices("GPU")],
        }

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn TensorFlow's errors into the payload's."""
        try:
            yield
        except tf.errors.OpError as error:
            raise classified(error) from error

    def scope(self) -> AbstractContextManager[Any]:
        """Return the strategy's scope: variables made in it are mirrored on all devices."""
        scope: AbstractContextManager[Any] = self._strategy.scope()
        return scope

    def parts(self, precision: str) -> Parts:
        """Return TensorFlow's fused optimizers, and on a CPU in fp32 a faster convolution."""
        if precision == "fp32" and not tf.config.list_physical_devices("GPU"):
            return Parts(SeparateBiasConv2D, FusedAdam, FusedSGD)
        return Parts(adam=FusedAdam, sgd=FusedSGD)

    def trainer(
        self, model: keras.Model, optimizer: keras.Optimizer, dataset: Dataset, settings: Settings
    ) -> TensorFlowTrainer:
        """Return what trains `model`."""
        return TensorFlowTrainer(self, self._strategy, model, optimizer, dataset, settings)

    def place(self, array: np.ndarray[Any, Any]) -> Any:
        """Return `array` as a tensor on the first device."""
        with tf.device(self._devices[0]):
            return tf.identity(array)

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` as a graph, without XLA."""
        graph: Callable[..., Any] = tf.function(function, jit_compile=False)
        return graph

    def wait(self, tensor: Any) -> None:
        """Copy one number of `tensor` to the host: its device works in order."""
        tf.reshape(tensor, [-1])[:1].numpy()


class TensorFlowTrainer(KerasTrainer):
    """Trains a Keras model on one device or, by mirrored variables, on several.

    Those may be devices of other machines, too: each worker feeds its own.
    """

    def __init__(
        self,
        engine: TensorFlow,
        strategy: Any,
        model: keras.Model,
        optimizer: keras.Optimizer,
        dataset: Dataset,
        settings: Settings,
    ) -> None:
        self._strategy, self._model, self._optimizer = strategy, model, optimizer
        self._replicas = strategy.num_replicas_in_sync
        self._devices_here = settings.devices
        super().__init__(engine, dataset, settings, place=self._distribute)
        with strategy.scope():
            optimizer.build(model.trainable_variables)
        self._compiled_hits = tf.function(self._count_hits, jit_compile=False)
        self.use_xla(on=settings.xla == "on")

    def use_xla(self, *, on: bool) -> None:
        """Compile the step anew, with XLA or without."""
        self._compiled_step = tf.function(self._all_replicas, jit_compile=on)

    def _distribute(self, array: np.ndarray[Any, Any]) -> Any:
        """Return `array` on the device, or an equal part of it on each device of this machine."""
        here = self._devices_here
        if here == 1:
            return self._engine.place(array)
        parts = np.split(array, here)
        return self._strategy.experimental_distribute_values_from_function(
            lambda replica: tf.identity(parts[replica.replica_id_in_sync_group % here])
        )

    def _step(self, images: Any, labels: Any) -> Any:
        return self._compiled_step(images, labels)

    def _finish(self, loss: Any) -> float:
        # On a GPU the calls only queue work. Reading the loss waits for all that was queued
        # before it.
        return float(loss.numpy())

    def _all_replicas(self, images: Any, labels: Any) -> Any:
        losses = self._strategy.run(self._one_replica, args=(images, labels))
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    def _one_replica(self, images: Any, labels: Any) -> Any:
        """Train on this device's part of the batch; Keras sums the gradients of all devices."""
        model, optimizer = self._model, self._optimizer
        with tf.GradientTape() as tape:
            logits = objective.logits_of(model, images, training=True)
            loss = objective.mean_loss(labels, logits) / self._replicas
            scaled_loss = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    def _hits(
        self, images: np.ndarray[Any, np.dtype[Any]], labels: np.ndarray[Any, np.dtype[Any]]
    ) -> int:
        return int(self._compiled_hits(images, labels))

    def _count_hits(self, images: Any, labels: Any) -> Any:
        return objective.count_hits(
            labels, objective.logits_of(self._model, images, training=False)
        )

    def _state(self) -> State:
        return [np.array(variable.numpy()) for variable in self._variables()]

    def _set_state(self, state: State) -> None:
        for variable, value in zip(self._variables(), state, strict=True):
            variable.assign(value)

    def _variables(self) -> list[Any]:
        return [*self._model.variables, *self._optimizer.variables]


def classified(error: tf.errors.OpError) -> PayloadError:
    """Return the payload's error for one of TensorFlow's.

    CUDA's and cuDNN's lack of memory comes as an `InternalError`, and is told by its text.
    """
    lines = _NODE.sub("", str(error.message)).splitlines()
    text = next((line.strip() for line in lines if line.strip() and not _FRAME.match(line)), "")
    if isinstance(error, tf.errors.ResourceExhaustedError) or _NO_MEMORY.search(str(error.message)):
        return OutOfMemory(text, fix="choose a smaller --batch-size")
    return EngineFailed(f"{type(error).__name__}: {text}")


def _strategy_of_workers(cluster: Cluster, devices: int) -> Any:
    """Return the strategy that sums gradients over all workers; waits until they are there.

    Raises:
        EngineFailed: If the CPU was asked to stand in for several devices.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus and devices > 1:
        raise EngineFailed(f"--devices {devices} with --workers needs as many GPUs")
    tf.config.set_visible_devices(gpus[:devices], "GPU")
    os.environ[TF_CONFIG] = cluster.tf_config
    handler = signal.getsignal(signal.SIGTERM)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    # TensorFlow takes SIGTERM for the announcement of a preemption, and would keep it to itself.
    signal.signal(signal.SIGTERM, handler)
    return strategy


def _devices(count: int) -> list[str]:
    """Return the first `count` GPUs; without a GPU the CPU, as many times, for a rehearsal.

    Raises:
        EngineFailed: If there are GPUs, but fewer.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and len(gpus) < count:
        raise EngineFailed(f"--devices {count}: TensorFlow sees {len(gpus)} GPUs")
    if not gpus and count > 1:
        parts = [tf.config.LogicalDeviceConfiguration()] * count
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    kind = "GPU" if gpus else "CPU"
    return [f"/{kind}:{number}" for number in range(count)]


def _gpu(device: Any) -> Json:
    details = tf.config.experimental.get_device_details(device)
    capability = details.get("compute_capability")
    return {
        "device": device.name,
        "name": details.get("device_name"),
        "compute_capability": ".".join(map(str, capability)) if capability else None,
    }
