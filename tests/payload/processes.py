"""Whether a process of a test has ended."""

import time
from pathlib import Path


def gone(number: int) -> bool:
    """Return whether a process ends within some seconds; a dead one may wait for its new parent."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            status = Path(f"/proc/{number}/stat").read_text()
        except FileNotFoundError:
            return True
        if status.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False
