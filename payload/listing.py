"""`--list`: what this machine could train with the payload."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata, util

from payload.machine import gpus
from payload.settings import DIGITS, ENGINES, KERAS, MODELS, PRECISIONS, SYNTHETIC


def lines() -> Iterator[str]:
    """Yield what there is, a line for each kind. No engine is loaded for it."""
    yield f"models      {', '.join(MODELS)}"
    yield f"precisions  {', '.join(PRECISIONS)}"
    yield f"engines     {', '.join(f'{name} {version(name)}' for name in ENGINES)}"
    yield f"data        {SYNTHETIC}, {DIGITS}, {KERAS}, a URL, a file or folder"
    found = gpus.describe()
    yield f"GPUs        {', '.join(_gpu(gpu) for gpu in found) or 'none that nvidia-smi lists'}"


def version(engine: str) -> str:
    """Return the version of an engine, or that it can't be used here."""
    if util.find_spec("keras") is None:
        return "(Keras is missing)"
    if util.find_spec(engine) is None:
        return "(missing)"
    # The package that provides the module may have another name, such as tensorflow-cpu.
    owners = metadata.packages_distributions().get(engine, [])
    return metadata.version(owners[0]) if owners else ""


def _gpu(gpu: dict[str, object]) -> str:
    return f"{gpu['name']} (driver {gpu['driver']})"
