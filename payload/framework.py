"""What TensorFlow is, what it sees and how it is set: part of a result's environment."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf


def describe() -> dict[str, Any]:
    """Return versions, devices and switches.

    `tensor_float_32` matters for every fp32 figure on Ampere and later: there TensorFlow
    multiplies float32 with 10 bits of mantissa unless told otherwise. 0 threads is TensorFlow's
    own choice, all cores.
    """
    build = tf.sysconfig.get_build_info()
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "cuda": build.get("cuda_version"),
        "cudnn": build.get("cudnn_version"),
        "xla": False,
        "tensor_float_32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
        "gpus": [_gpu(device) for device in tf.config.list_physical_devices("GPU")],
    }


def _gpu(device: Any) -> dict[str, Any]:
    details = tf.config.experimental.get_device_details(device)
    capability = details.get("compute_capability")
    return {
        "device": device.name,
        "name": details.get("device_name"),
        "compute_capability": ".".join(map(str, capability)) if capability else None,
    }
