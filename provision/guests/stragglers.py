"""Ends what a run of Ansible leaves behind: shared ssh connections, and workers that were cut off.

Each of them names the run's private folder in its command line, and nothing else does: the name
is random. Ansible ends its own workers, but not one that it was about to start when it was ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROUNDS = 20
PAUSE_SECONDS = 0.1
POLITE_ROUNDS = 10

_PROC = Path("/proc")


def end_stragglers(folder: Path) -> None:
    """End every process that names a folder in its command line: politely, then at once."""
    for number in range(ROUNDS):
        pids = list(_naming(str(folder)))
        if not pids:
            return
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM if number < POLITE_ROUNDS else signal.SIGKILL)
        time.sleep(PAUSE_SECONDS)


def _naming(text: str) -> Iterator[int]:
    own = os.getpid()
    return (pid for pid, line in _command_lines() if text in line and pid != own)


def _command_lines() -> Iterator[tuple[int, str]]:
    if not (_PROC / "self").exists():  # macOS and the BSDs
        yield from _listed_by_ps()
        return
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it ended while we looked
                yield int(entry.name), (entry / "cmdline").read_bytes().decode(errors="replace")


def _listed_by_ps() -> Iterator[tuple[int, str]]:
    words = ["ps", "-A", "-ww", "-o", "pid=,args="]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True,
        errors="replace",
    )  # fmt: skip
    for line in done.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        yield int(pid), command
