"""Wait until no other program holds the package manager's locks; name the one that does.

Runs in the guest: `wait_lock.py SECONDS FILE...`. dpkg, apt and rpm lock these files with
fcntl(2), which tells who holds a lock; the file alone says nothing, for it always exists.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import time
from pathlib import Path

FLOCK = "hhqqi4x"  # struct flock of Linux on 64-bit machines: type, whence, start, length, pid
PAUSE_SECONDS = 1


def holder(path: str) -> int | None:
    """Return the process that has locked a file; None where none has, or there is no file."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        question = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, question))
    finally:
        os.close(file)
    return None if answer[0] == fcntl.F_UNLCK else answer[4]


def described(pid: int) -> str:
    """Return a process's command line; its number alone where that can't be read."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return f"process {pid}"
    return f"process {pid} ({b' '.join(words).decode(errors='replace').strip()[:200]})"


if __name__ == "__main__":
    seconds, files = float(sys.argv[1]), sys.argv[2:]
    end = time.monotonic() + seconds
    while held := {path: pid for path in files if (pid := holder(path)) is not None}:
        if time.monotonic() >= end:
            path, pid = next(iter(held.items()))
            sys.exit(f"{described(pid)} has held {path} for more than {seconds:.0f} s")
        time.sleep(PAUSE_SECONDS)
