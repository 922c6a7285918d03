"""Writing the document: the file appears whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def to_text(document: Mapping[str, Any]) -> str:
    """Return the document as JSON text, in ASCII, with a newline at its end.

    Raises:
        ValueError: If a number is NaN or infinite, which JSON does not know.
    """
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to a temporary file beside `path`, force it to disk and rename it.

    A crash or a full disk at any moment leaves under `path` what was there before, or all of
    `text`. The folder is forced to disk too, so that the rename outlives a power failure.

    Raises:
        OSError: If the file can't be written; the temporary file is gone then.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), 0o644)  # mkstemp's 0600 would hide a result from its reader
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
