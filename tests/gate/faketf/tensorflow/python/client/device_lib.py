"""Starts the GPUs that have an address, and describes them as TensorFlow does."""

from types import SimpleNamespace
from typing import Any

import tensorflow as tf


def list_local_devices() -> list[Any]:
    cpu = SimpleNamespace(device_type="CPU", physical_device_desc="")
    return [cpu] + [
        SimpleNamespace(
            device_type="GPU",
            physical_device_desc=f"device: {n}, name: NVIDIA, pci bus id: {address}, "
            "compute capability: 8.0",
        )
        for n, address in enumerate(tf.GPUS)
        if address
    ]
