"""What the kernel tells: the loaded module, its log, and the PCI tree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from gate.smilog import run

LOG_DEADLINE = 15.0
OPEN = "open"
PROPRIETARY = "proprietary"

READERS = (
    # The kernel may keep its log from ordinary users (kernel.dmesg_restrict); members of the
    # groups adm and systemd-journal can still read the journal, and cloud users may use sudo.
    ("dmesg",),
    ("journalctl", "--dmesg", "--boot=0", "--no-pager", "--quiet", "--output=short-iso"),
    ("sudo", "--non-interactive", "dmesg"),
)

_VERSION = re.compile(r"(?:Kernel Module|Module for \S+)\s+(\d+\.\d+[\d.]*)")


@dataclass(frozen=True)
class Module:
    """The loaded kernel module: its version, and whether it is the open or proprietary one."""

    version: str
    flavour: str


@dataclass(frozen=True)
class KernelLog:
    """The kernel's log of this boot, and the command that showed it.

    `lines` is None where nobody let us read it; `refusals` say who did not.
    """

    source: str = ""
    lines: tuple[str, ...] | None = None
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True)
class HostDriver:
    """Version and branch of the vGPU manager, such as 550.144.02 and r550_00."""

    version: str
    branch: str


def module(root: Path) -> Module | None:
    """Return the NVIDIA module that is loaded."""
    text = _read(root / "proc/driver/nvidia/version").partition("\n")[0]
    match = _VERSION.search(text)
    if match is None:
        return None
    return Module(match[1], OPEN if "Open Kernel Module" in text else PROPRIETARY)


def log() -> KernelLog:
    """Return the kernel's log from the first source that gives it."""
    refusals = []
    for words in READERS:
        program = which(words[0])
        if program is None:
            continue
        code, out, err = run([program, *words[1:]], LOG_DEADLINE)
        text = out.decode("utf-8", "replace")
        if code == 0 and text.strip():
            return KernelLog(" ".join(words), tuple(text.splitlines()))
        said = err.decode("utf-8", "replace").strip().partition("\n")[0]
        said = said[len(words[0]) + 2 :] if said.startswith(f"{words[0]}: ") else said
        refusals.append(f"{words[0]}: {said or 'it shows nothing'}")
    return KernelLog(refusals=tuple(refusals) or ("there is neither dmesg nor journalctl",))


def numa_node(root: Path, address: str) -> int | None:
    """Return the NUMA node of a PCI device; -1 where the platform does not say."""
    text = _read(root / "sys/bus/pci/devices" / address / "numa_node").strip()
    return int(text) if re.fullmatch(r"-?\d+", text) else None


_CAPABILITIES_LISTED = 0x10
_STATUS, _FIRST, _VENDOR_SPECIFIC = 0x06, 0x34, 0x09
_SIGNATURE = b"VF"
_RECORDS, _FIELD = 5, 10


def host_driver(root: Path, address: str) -> HostDriver | None:
    """Return what the hypervisor tells a vGPU of its own driver.

    It stands in a vendor-specific PCI capability: id, next, length, `VF`, then records of id,
    length and data; record 0 has the version and the branch, ten bytes each (so NVIDIA's device
    plugin for Kubernetes reads it). Only root may read that far: as anybody else, the answer is
    asked through sudo, and None where that is refused.
    """
    capability = _vendor_capability(_configuration(root, address))
    if capability[3:5] != _SIGNATURE:
        return None
    place = _RECORDS
    while place + 2 <= len(capability) and capability[place] != 0:
        if capability[place + 1] == 0:
            return None
        place += capability[place + 1]
    data = capability[place + 2 : place + 2 + 2 * _FIELD]
    if len(data) < 2 * _FIELD:
        return None
    version, branch = (_text(part) for part in (data[:_FIELD], data[_FIELD:]))
    return HostDriver(version, branch) if version else None


def _configuration(root: Path, address: str) -> bytes:
    path = root / "sys/bus/pci/devices" / address / "config"
    try:
        content = path.read_bytes()
    except OSError:
        return b""
    sudo = which("sudo")
    if len(content) >= 256 or sudo is None:  # noqa: PLR2004 - the space without extensions
        return content[:256]
    code, out, _ = run([sudo, "--non-interactive", "head", "-c", "256", str(path)], LOG_DEADLINE)
    return out if code == 0 else b""


def _vendor_capability(space: bytes) -> bytes:
    """Return the first vendor-specific capability of a configuration space."""
    if len(space) < 256 or not space[_STATUS] & _CAPABILITIES_LISTED:  # noqa: PLR2004
        return b""
    place, seen = space[_FIRST], set()
    while 0 < place < 254 and place not in seen and space[place] != 0xFF:  # noqa: PLR2004
        seen.add(place)
        if space[place] == _VENDOR_SPECIFIC:
            return space[place : place + space[place + 2]]
        place = space[place + 1]
    return b""


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("ascii", "replace")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
