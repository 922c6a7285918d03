"""What VMware Tools tell a guest of its host: `vmware-toolbox-cmd stat`.

Memory that the host took back (balloon, host swap) and the CPU's clock and limits are visible in
no file of the guest.
"""

from __future__ import annotations

import re
import shutil
import subprocess

STATISTICS = {
    "speed": "host_cpu_mhz",
    "balloon": "balloon_mib",
    "swap": "host_swapped_mib",
    "cpures": "cpu_reservation_mhz",
    "cpulimit": "cpu_limit_mhz",
    "memres": "memory_reservation_mib",
    "memlimit": "memory_limit_mib",
}
DEADLINE = 5.0
"""Seconds for one call."""
_NUMBER = re.compile(r"(\d+)\s*(?:MHz|MB)?")
_UNLIMITED = 4_294_967_295
"""How the tools spell no limit where they don't say "unlimited"."""


def describe() -> dict[str, int | None] | None:
    """Return what the host tells; `None` where there are no VMware Tools.

    A limit that is not set, and what the host refuses to tell, is `None`.
    """
    program = shutil.which("vmware-toolbox-cmd")
    if program is None:
        return None
    return {key: _ask(program, name) for name, key in STATISTICS.items()}


def _ask(program: str, name: str) -> int | None:
    try:
        done = subprocess.run(
            [program, "stat", name], capture_output=True, text=True, timeout=DEADLINE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _NUMBER.fullmatch(done.stdout.strip())
    if done.returncode != 0 or match is None or int(match[1]) == _UNLIMITED:
        return None
    return int(match[1])
