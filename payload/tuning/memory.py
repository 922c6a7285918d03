"""A limit on this process' memory, so that too large a batch is an error and not a killed process.

Linux promises more memory than it has, and kills a process when the promise falls due: no
document would say why. With a limit the allocation itself fails, and the engine reports it.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from payload.machine import hardware

SHARE = 0.9
"""Of the memory that is available; the rest is for what the kernel and others need meanwhile."""


@contextmanager
def bounded(root: Path = Path("/")) -> Iterator[int | None]:
    """Let this process take most of the available memory and no more, inside a `with`.

    `RLIMIT_DATA` counts what can be written: the heap and private mappings, not files and
    libraries (setrlimit(2), Linux 4.7 and later). A lower limit that stands already is kept.
    Yields the limit in bytes, or `None` where the system does not tell what is available.
    """
    before = resource.getrlimit(resource.RLIMIT_DATA)
    room = _room(root)
    if room is None:
        yield None
        return
    limits = [size for size in (room, *before) if size != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits), before[1]))
    try:
        yield min(limits)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _room(root: Path) -> int | None:
    """Return what this process holds and `SHARE` of what it can get besides, in bytes."""
    memory = hardware.memory(root)
    held = re.search(r"^VmData:\s+(\d+) kB", hardware.read(root, "proc/self/status"), re.MULTILINE)
    if memory["available_bytes"] is None or held is None:
        return None
    free = min(memory["available_bytes"], memory["cgroup_bytes"] or memory["available_bytes"])
    return int(held[1]) * 1024 + int(SHARE * free)
