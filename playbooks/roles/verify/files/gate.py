"""See whether this machine is what it should be; write and print the verdict as JSON.

Runs in the guest, with the payload's Python: `gate.py FILE`, the question in `VDL_GATE`. In a
`simulated` machine the GPUs exist only in the simulated vCenter: it is enough that the framework
is installed there, which is told without the seconds that its import takes.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("tensorflow", "tensorflow-cpu", "keras", "numpy")


def versions() -> dict[str, str]:
    """Return the versions of what the payload uses."""
    found = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def visible_gpus() -> list[str]:
    """Return the GPUs that the framework sees."""
    import tensorflow as tf  # noqa: PLC0415 - its absence is something to report

    return [device.name for device in tf.config.list_physical_devices("GPU")]


def driver() -> str | None:
    """Return the version of the loaded NVIDIA driver."""
    path = Path("/sys/module/nvidia/version")
    return path.read_text().strip() if path.exists() else None


def shortcomings(question: dict, gpus: list[str]) -> list[str]:
    """Return what the machine lacks; add the GPUs that it has to `gpus`."""
    if question["simulated"]:
        missing = [name for name in ("tensorflow", "keras") if not find_spec(name)]
        return [f"{sys.executable} has no {name}" for name in missing]
    try:
        gpus += visible_gpus()
    except ImportError as error:
        return [f"{sys.executable} can't import TensorFlow: {error}"]
    expected = question["expected_gpus"]
    if expected in (-1, len(gpus)):
        return []
    return [f"the framework sees {len(gpus)} GPUs instead of {expected}"]


def verdict(question: dict) -> dict:
    """Answer the question."""
    gpus: list[str] = []
    reasons = shortcomings(question, gpus)
    return {
        "version": 1,
        "kind": "vdl-gate",
        "passed": not reasons,
        "reasons": reasons,
        **question,
        "gpus": gpus,
        "driver": driver(),
        "packages": versions(),
    }


if __name__ == "__main__":
    target = Path(sys.argv[1])
    text = json.dumps(verdict(json.loads(os.environ["VDL_GATE"])))
    fresh = target.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(target)
    print(text)
