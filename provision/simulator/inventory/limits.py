"""Limits of vSphere releases that the simulated vCenter keeps."""

from __future__ import annotations

import re

from pyVmomi import vim

from provision.simulator.inventory import faults

MAX_CPUS = 768
MAX_MEMORY_MB = 24 * 2**20
# The oldest hardware version that vSphere 7 and 8 still run (Broadcom KB 315655).
OLDEST_HARDWARE = 4
DYNAMIC_DIRECTPATH_HARDWARE = 17
# Since which release: vGPUs on MIG instances (VMware, "What's new" of vSphere 7 Update 2),
# `vgpuMode` and with it mixedSize (API reference 8.0 Update 3), vendor device groups (8.0).
MIG_SINCE = (7, 0, 2)
MIXED_SIZE_SINCE = (8, 0, 3)
DEVICE_GROUPS_SINCE = (8, 0)
# With this hardware version and vSphere 8.0 Update 2 a VM may have most PCI devices.
_MOST_DEVICES_HARDWARE = 21

# Hardware versions that came with releases (Broadcom KB 315655).
_NEWEST = (((9, 0), 22), ((8, 0, 2), 21), ((8, 0), 20), ((7, 0, 2), 19), ((7, 0, 1), 18))
# vGPUs per VM, as the release announcements of vSphere 7, 8 and 8 Update 2 have it; clients
# shall not know the number but ask for VmiopBackingOption.maxInstances.
_VGPUS = (((8, 0, 2), 16), ((8, 0), 8))
# Passthrough devices per VM (Broadcom KB 309986); 128 need hardware version 21.
_DEVICES = (((8, 0, 2), 128), ((8, 0, 1), 64), ((8, 0), 32))


def _release(api: str) -> tuple[int, ...]:
    return tuple(int(part) for part in api.split("."))


def has(api: str, since: tuple[int, ...]) -> bool:
    """Tell whether a release has what came with another one."""
    return _release(api) >= since


def newest_hardware(api: str) -> int:
    """Return the newest hardware version of a release."""
    return next((number for since, number in _NEWEST if _release(api) >= since), 17)


def hardware_versions(api: str) -> range:
    """Return the hardware versions that a release runs."""
    return range(OLDEST_HARDWARE, newest_hardware(api) + 1)


def hardware_number(key: str) -> int:
    """Return 19 for `vmx-19`.

    Raises:
        vmodl.fault.InvalidArgument: This is no hardware version.
    """
    if (number := _number(key)) is None:
        raise faults.invalid_argument("version", f"{key} is no hardware version.")
    return number


def _number(key: str) -> int | None:
    match = re.fullmatch(r"vmx-(\d{1,3})", key)
    return int(match[1]) if match else None


def max_vgpus(api: str) -> int:
    """Return how many vGPUs a VM may have."""
    return next((number for since, number in _VGPUS if _release(api) >= since), 4)


def max_passthrough(api: str, hardware: int) -> int:
    """Return how many PCI passthrough devices a VM may have."""
    most = next((number for since, number in _DEVICES if _release(api) >= since), 16)
    return most if hardware >= _MOST_DEVICES_HARDWARE else min(most, 64)


def checked_upgrade(current: int, version: str | None, newest: int) -> int:
    """Return the hardware version that an upgrade leads to (API reference, `UpgradeVM_Task`).

    Raises:
        vim.fault.InvalidState: The release has no such hardware version.
        vim.fault.AlreadyUpgraded: The VM has it, or a newer one.
    """
    wanted = _number(version) if version else newest
    if wanted is None or wanted > newest:
        message = f"This release has no hardware version {version}."
        raise faults.refuse(vim.fault.InvalidState, message)
    if wanted <= current:
        message = f"The VM has hardware version vmx-{current:02} already."
        raise faults.refuse(vim.fault.AlreadyUpgraded, message)
    return wanted
