"""The journal of a run: a line of JSON for each thing that happens, for whoever looks later.

Lines are whole and in order, each written at once: after a crash the last ones say which step
of which machine was under way, and under which id vCenter knows it.
"""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from provision.apply.events import Event
from provision.errors import UsageError

OPEN = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class Journal:
    """Appends events to a file; a context manager. Several runs may share one file.

    A disk that fills up in mid-run does not stop the run: the journal ends there.

    Attributes:
        error: Why the journal is incomplete; None while it is not.

    Args:
        path: The file; it is created if it is not there.
        lab: The lab that the lines are about.

    Raises:
        UsageError: The file can't be opened for writing.
    """

    def __init__(self, path: Path, lab: str) -> None:
        self.error: OSError | None = None
        self._lab = lab
        try:
            self._file = os.open(path, OPEN, 0o666)
        except OSError as error:
            raise UsageError(
                "the log file can't be written", subject=str(path), why=error.strerror,
                fix="name a file in a folder that exists and may be written to",
            ) from error  # fmt: skip

    def write(self, event: Event) -> None:
        """Append one line. What is not known or does not apply is null."""
        self._append(
            {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "lab": self._lab,
                "machine": event.machine,
                "step": event.step.value,
                "phase": event.phase.value,
                "seconds": round(event.seconds, 3) or None,
                "vm": event.vm_id or None,
                "task": event.task_id or None,
                "operation": event.operation or None,
                "message": event.message or None,
            }
        )

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, line: dict[str, str | float | None]) -> None:
        """Write a whole line by one call, so that two runs never mix theirs."""
        if self.error is not None:
            return
        data = json.dumps(line).encode() + b"\n"
        try:
            if os.write(self._file, data) < len(data):
                self.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self.error = error
