"""What releases of vSphere have.

Sources: Broadcom KB 315655 (hardware versions), KB 309986 (PCI devices per VM), vSphere API
reference 8.0 Update 3 (`vgpuMode`, `deviceGroups`).
"""

from __future__ import annotations

import re
from functools import cache

Release = tuple[int, ...]

# Vendor device groups: `ConfigSpec.deviceGroups`.
DEVICE_GROUPS: Release = (8, 0)
# `HostGraphicsInfo.vgpuMode`, and with it mixedSize.
VGPU_MODE: Release = (8, 0, 3)

_NEWEST_HARDWARE: tuple[tuple[Release, int], ...] = (
    ((9, 0), 22),
    ((8, 0, 2), 21),
    ((8, 0), 20),
    ((7, 0, 2), 19),
    ((7, 0, 1), 18),
    ((7, 0), 17),
    ((6, 7, 2), 15),
    ((6, 7), 14),
)
_OLDEST_HARDWARE = 13
_PCI_DEVICES: tuple[tuple[Release, int], ...] = (((8, 0, 2), 128), ((8, 0, 1), 64), ((8, 0), 32))
_OLDEST_PCI_DEVICES = 16
# More than 64 devices need this hardware version besides 8.0 Update 2.
_MANY_DEVICES_HARDWARE, _MANY_DEVICES = 21, 64


def release_of(api_version: str) -> Release | None:
    """Return `(8, 0, 3)` for `8.0.3.0`; None where a host does not tell its release."""
    numbers = re.findall(r"\d+", api_version)
    return tuple(int(number) for number in numbers[:3]) or None


def has(api_version: str, since: Release) -> bool:
    """Whether a release has what came with another one; one that is not told has everything."""
    release = release_of(api_version)
    return release is None or release >= since


@cache
def newest_hardware(api_version: str) -> int | None:
    """Return the newest hardware version that a host runs; None where it tells no release."""
    release = release_of(api_version)
    if release is None:
        return None
    return next((n for since, n in _NEWEST_HARDWARE if release >= since), _OLDEST_HARDWARE)


def most_pci_devices(api_version: str, hardware: int) -> int | None:
    """Return how many PCI devices a VM of a hardware version may have; None where unknown."""
    release = release_of(api_version)
    if release is None:
        return None
    most = next((n for since, n in _PCI_DEVICES if release >= since), _OLDEST_PCI_DEVICES)
    return most if hardware >= _MANY_DEVICES_HARDWARE else min(most, _MANY_DEVICES)
