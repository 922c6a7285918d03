"""The training frameworks, each in a module of its own, behind `port.Engine`.

Keras takes its backend from the environment at its first import, and for good: one process, one
engine. So an engine is chosen here, by name, before anything imports Keras. What another engine
needs is never imported.
"""

from __future__ import annotations

import os
import resource
from importlib import import_module
from typing import TYPE_CHECKING

from payload.errors import EngineMissing, OutOfMemory

if TYPE_CHECKING:  # it imports NumPy, which may be missing as an engine may
    from payload.engines.port import Engine

_NOT_MAPPED = "failed to map segment"
"""What the dynamic linker says where there is no room; or the file system is mounted `noexec`."""
_CLASSES = {"tensorflow": "TensorFlow", "jax": "Jax", "torch": "Torch"}


def load(name: str) -> Engine:
    """Return the engine called `name` (see `settings.ENGINES`), with Keras on top of it.

    Raises:
        EngineMissing: If it can't be imported.
        OutOfMemory: If that is for a limit on the addresses of this process.
    """
    os.environ["KERAS_BACKEND"] = name  # a user's keras.json may name another one
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only; progress stays readable
    try:
        module = import_module(f"payload.engines.{name}")
    except ImportError as missing:
        limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
        if limited and _NOT_MAPPED in str(missing):
            raise OutOfMemory(
                f"the engine {name} can't be loaded: {missing}", fix="raise the limit (ulimit -v)"
            ) from missing
        raise EngineMissing(
            f"the engine {name} can't be loaded by this Python: {missing}",
            fix=f"pip install {name} keras",
        ) from missing
    engine: Engine = getattr(module, _CLASSES[name])()
    return engine
