"""What a child died of, by the traces that are left: most often it had no memory left.

An engine that is refused memory in the midst of C++ says so (`std::bad_alloc`), or follows a null
pointer and says nothing at all (oneDNN did, under a limit on addresses). The kernel's OOM killer
leaves no word in the process either, but counts.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

from payload.apart.process import Ended
from payload.errors import Died, OutOfMemory, PayloadError, TimeOver
from payload.machine import hardware
from payload.machine.hardware import read

FULL = 0.5
"""Of a limit: what a process had of it when it was looked at last. The next request may be as
large again: batches are hundreds of megabytes."""
FALLEN = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT})
"""What a process dies of when it does not look at what an allocation gave it."""
SMALLER = "choose a smaller --batch-size, or give it more memory"

_NO_MEMORY = re.compile(
    r"bad_alloc|MemoryError|out of memory|can't allocate|cannot allocate|failed to map segment",
    re.IGNORECASE,
)
_NO_ERROR = re.compile(r"\s*$|[IW]\d{4} ")
"""An empty line, and what TensorFlow logs as information or warning."""
_LIMITS = {
    # The name in /proc/PID/limits, what /proc/PID/status says of it, and how ulimit spells it.
    "Max address space": ("VmPeak", "ulimit -v"),
    "Max data size": ("VmData", "ulimit -d, or what the payload sets itself"),
}


class Traces:
    """Looks at a child while it lives, and says what it died of.

    Args:
        root: Of the file system; a test gives its own.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._killed = oom_kills(root)
        self._share, self._held = 0.0, ""

    def look(self, number: int) -> None:
        """Note how much a process has of the memory that it may have."""
        for share, held in _shares(self._root, number):
            if share > self._share:
                self._share, self._held = share, held

    def failure(self, ended: Ended) -> PayloadError:
        """Return what happened to a child that ended without a result."""
        if ended.code is None:
            return TimeOver("the training process did not end in time and was killed")
        how = f"the training process {_how(ended.code)}"
        lines = [line.strip() for line in ended.said.splitlines() if not _NO_ERROR.match(line)]
        words = next((line for line in reversed(lines) if _NO_MEMORY.search(line)), None)
        if ended.code == -signal.SIGKILL and oom_kills(self._root) > self._killed:
            return OutOfMemory(f"{how} by the kernel, which had no memory left", fix=SMALLER)
        if words is not None:
            return OutOfMemory(f"{how}: {words}", fix=SMALLER)
        if -ended.code in FALLEN and self._share >= FULL:
            return OutOfMemory(f"{how} when it had {self._held}", fix=SMALLER)
        by_itself = ended.code >= 0 or ended.code == -signal.SIGABRT
        return Died(f"{how}: {lines[-1]}" if by_itself and lines else how)


def oom_kills(root: Path) -> int:
    """Return how many processes the OOM killer has killed: of this cgroup, else of the system.

    `memory.events` (cgroup version 2) and `memory.oom_control` (version 1) count the processes of
    the cgroup whatever memory ran out (Linux' Documentation/admin-guide/cgroup-v2.rst).
    """
    for folder in hardware.cgroup_folders(root, "memory"):
        for name in ("memory.events", "memory.oom_control"):
            found = re.search(r"^oom_kill (\d+)$", read(folder, name), re.MULTILINE)
            if found is not None:
                return int(found[1])
    found = re.search(r"^oom_kill (\d+)$", read(root, "proc/vmstat"), re.MULTILINE)
    return 0 if found is None else int(found[1])


def _shares(root: Path, number: int) -> Iterator[tuple[float, str]]:
    """Yield the share of each limit on memory that a process has, and the same in words."""
    limits = read(root, f"proc/{number}/limits")
    status = read(root, f"proc/{number}/status")
    for name, (key, option) in _LIMITS.items():
        limit = re.search(rf"^{name}\s+(\d+)", limits, re.MULTILINE)
        held = re.search(rf"^{key}:\s+(\d+) kB", status, re.MULTILINE)
        if limit is not None and held is not None and int(limit[1]):
            had = int(held[1]) * 1024
            sizes = f"{had / 2**30:.1f} of the {int(limit[1]) / 2**30:.1f} GiB"
            yield had / int(limit[1]), f"{sizes} that its limit allows ({option})"


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    return f"was killed ({signal.Signals(-code).name})"
