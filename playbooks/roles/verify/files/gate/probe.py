"""Runs in the framework's own Python: which GPUs can TensorFlow compute on? Prints JSON.

`python -c probe.py installed` only looks whether it is installed, without the seconds that its
import takes. `python -c probe.py devices` starts every GPU, so that one that is listed and
can't be used is found out, and prints the PCI address of each.
"""

import json
import os
import re
import sys
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec

PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy")
NEEDED = ("tensorflow", "keras")


def versions() -> "dict[str, str]":
    """Return the versions of what the payload uses."""
    found = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def devices() -> "list[dict[str, str | None]]":
    """Return name and PCI address of each GPU that TensorFlow can start."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # CUDA says as a warning what it lacks
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    import tensorflow as tf  # noqa: PLC0415
    from tensorflow.python.client import device_lib  # noqa: PLC0415

    names = [device.name for device in tf.config.list_physical_devices("GPU")]
    if not names:
        return []
    started = [d for d in device_lib.list_local_devices() if d.device_type == "GPU"]
    found = (re.search(r"pci bus id: ([0-9a-fA-F:.]+)", d.physical_device_desc) for d in started)
    addresses = [match[1].lower()[-12:] if match else None for match in found]
    addresses += [None] * (len(names) - len(addresses))
    return [{"name": n, "address": a} for n, a in zip(names, addresses)]


if __name__ == "__main__":
    missing = [name for name in NEEDED if not find_spec(name)]
    gpus = devices() if sys.argv[1] == "devices" and not missing else []
    print(json.dumps({"missing": missing, "gpus": gpus, "packages": versions()}))
