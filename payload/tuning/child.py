"""A run in a process of its own, which may die without harm to this one."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from payload import output
from payload.document import Json
from payload.interrupt import stop_requests
from payload.progress import Progress
from payload.run import run
from payload.settings import Settings

_CODE = (
    "import sys; sys.path.insert(0, sys.argv[1]); from payload.tuning import child; "
    "sys.exit(child.main(*sys.argv[2:]))"
)
_HOME = Path(__file__).parents[2]
"""Where this package lies: a folder, or the archive of a zipapp."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended.

    Attributes:
        document: What it measured; `None` if it died before it could tell.
        code: Its exit code, or minus the signal that killed it; `None` if its time was over.
        said: What it wrote to standard error, where that was caught.
    """

    document: Json | None
    code: int | None
    said: str = ""


def run_in_child(settings: Settings, *, catch: bool = False, seconds: float | None = None) -> Ended:
    """Carry out a run in a child process and wait for it.

    Args:
        settings: The run; it has no cluster.
        catch: Whether to keep what the child says, instead of letting it speak.
        seconds: After which it is killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "document.json")
        words = json.dumps(asdict(settings), default=str)
        command = [sys.executable, "-c", _CODE, str(_HOME), words, str(target)]
        stderr = subprocess.PIPE if catch else None
        try:
            done = subprocess.run(
                command, check=False, stderr=stderr, timeout=seconds, text=True, errors="replace"
            )
        except subprocess.TimeoutExpired:
            return Ended(None, None)
        found = json.loads(target.read_text(encoding="utf-8")) if target.exists() else None
        return Ended(found, done.returncode, done.stderr or "")


def main(words: str, target: str) -> int:
    """Carry out a run, in the child."""
    settings = _settings(json.loads(words))
    progress = Progress(sys.stderr, time.monotonic, settings.batch_size)
    with stop_requests() as stop:

        def deliver(document: Json) -> None:
            output.write_atomically(Path(target), output.to_text(document))

        return 0 if run(settings, stop, progress, deliver)["valid"] else 1


def _settings(values: Mapping[str, Any]) -> Settings:
    checksums = values["checksums"]
    return Settings(**{**values, "checksums": None if checksums is None else Path(checksums)})
