"""Files that only their owner may read, and that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

PRIVATE_FOLDER = 0o700


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text`, readable by its owner alone (mode 0600).

    Raises:
        OSError: The disk is full or the folder can't be written; the old file is intact.
    """
    path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    # mkstemp makes the file with mode 0600 and a name that nobody can guess.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
