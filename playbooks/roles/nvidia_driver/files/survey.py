"""Look at a machine's GPUs and NVIDIA packages; say which driver it should have, as JSON.

Runs in the guest: `survey.py SYSFS VERSION_FILE RECORD < QUESTION`. SYSFS is `/sys`, but for
tests. The question is {"mode", "profile", "branch", "modules", "package_branch"}: what the lab
says. RECORD is what the role has noted of an installed guest driver for vGPUs. Changes nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

NVIDIA = "0x10de"
DISPLAY = "0x03"  # PCI class codes: display controller,
BRIDGE = "0x0680"  # and "other bridge", which an NVSwitch is

# PCI Local Bus Specification 3.0, section 6.7 and appendix H.
HEADER_BYTES = 0x40
FIRST_CAPABILITY = 0x34
VENDOR_SPECIFIC = 0x09
MOST_CAPABILITIES = 48  # as many as fit; a damaged list may be a ring

# The first PCI device id of each architecture, from The PCI ID Repository (pci.ids). NVIDIA gives
# ids out in blocks, so that the highest start that is not above a card's id names it. Older
# architectures differ in nothing that matters here.
ARCHITECTURES = (
    (0x0000, "older"),
    (0x1E00, "Turing"),
    (0x2080, "Ampere"),
    (0x2180, "Turing"),
    (0x2200, "Ampere"),
    (0x2300, "Hopper"),
    (0x2400, "Ampere"),
    (0x2600, "Ada"),
    (0x2900, "Blackwell"),
)
# Open kernel modules: from Turing on, and all that Blackwell has; in vGPU guests from Ada on.
# They are NVIDIA's choice from branch 560 on (NVIDIA Driver Installation Guide, "Kernel Modules").
OPEN = ("Turing", "Ampere", "Hopper", "Ada", "Blackwell")
OPEN_IN_VGPU_GUESTS = ("Hopper", "Ada", "Blackwell")
OPEN_BY_DEFAULT = 560
FIRST_FOR_BLACKWELL = 570
OPEN_ONLY = 620  # the guide of release 620, "Proprietary Kernel Modules Removed"
LAST_FOR_OLDER = 580

# Names that matter here, of all packages that a machine has.
INTERESTING = re.compile(r"nvidia|^linux-|^kernel|^cuda|^libcuda|^libnv|^dkms$|^gcc$|^make$")
UNINSTALLER = Path("/usr/bin/nvidia-uninstall")  # comes with .run files only
VGPU_PACKAGE = re.compile(r"nvidia-linux-grid")
DRIVER_PACKAGE = re.compile(r"nvidia|^libcuda(debugger)?\d|^libnv(cuvid|optix)\d|^cuda-drivers")
# Debian's nvidia-modprobe has a version of its own, whatever the branch.
NO_DRIVER = re.compile(r"container|^cuda-keyring$|^nvidia-modprobe$|^linux-(image|headers)")
# Drivers have versions such as 570.133.20, helpers such as nvidia-support have others. Ubuntu's
# prebuilt modules have the kernel's version, and their branch in the name.
DRIVER_VERSION = re.compile(r"(?:\d+:)?(\d{3})\.\d")
BRANCH_IN_NAME = re.compile(r"^linux-\w+-nvidia-(\d{3})-")


def architecture(device: int) -> str:
    """Return the architecture of a card by its PCI device id."""
    return [name for first, name in ARCHITECTURES if device >= first][-1]


def vendor_capability(config: bytes) -> bytes:
    """Return the vendor-specific capability of a PCI configuration space; empty if it has none."""
    at = config[FIRST_CAPABILITY] if len(config) > HEADER_BYTES else 0
    for _ in range(MOST_CAPABILITIES):
        if at < HEADER_BYTES or at + 3 > len(config):
            return b""
        if config[at] == VENDOR_SPECIFIC:
            return config[at : at + config[at + 2]]
        at = config[at + 1]
    return b""


def host_version(capability: bytes) -> str | None:
    """Return the version of the host's vGPU manager as the vGPU tells it, such as 570.124.03.

    The layout is that which NVIDIA's gpu-feature-discovery reads: from byte 5 on records of
    number, length and content; number 0 has 10 bytes of version and 10 of branch.
    """
    at = 5
    while at + 2 < len(capability):
        number, length = capability[at], capability[at + 1]
        if number == 0:
            text = capability[at + 2 : at + 12].rstrip(b"\0").decode("ascii", "replace")
            return text or None
        if length == 0:
            break
        at += length
    return None


def read_devices(sysfs: Path) -> tuple[list[dict], int]:
    """Return the NVIDIA GPUs on the PCI bus, by address, and the number of NVSwitches."""
    gpus, switches = [], 0
    for folder in sorted((sysfs / "bus/pci/devices").glob("*")):
        kind = (folder / "class").read_text()
        if (folder / "vendor").read_text().strip() != NVIDIA:
            continue
        if kind.startswith(BRIDGE):
            switches += 1
        if kind.startswith(DISPLAY):
            device = int((folder / "device").read_text(), 16)
            config = folder / "config"
            capability = vendor_capability(config.read_bytes() if config.exists() else b"")
            virtual = capability[3:5] == b"VF"
            gpus.append({
                "address": folder.name,
                "device": f"{device:04x}",
                "architecture": architecture(device),
                "virtual": virtual,
                "host_version": host_version(capability) if virtual else None,
            })  # fmt: skip
    return gpus, switches


def read_packages() -> dict[str, str]:
    """Return version by name of the installed packages that may matter here.

    Where dnf takes a name with its version, as for kernel-devel, that is among the names too.
    """
    apt = ["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev}\t${Package}\t${Version}\n"]
    names = ("%{NAME}", "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}")
    rows = "".join(f"ii\t{name}\t%{{VERSION}}\n" for name in names)
    rpm = ["rpm", "--query", "--all", "--queryformat", rows]
    command = apt if Path("/var/lib/dpkg/status").exists() else rpm
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = (line.split("\t") for line in output.splitlines())
    return {name: version for state, name, version in found
            if state[1:2] == "i" and INTERESTING.search(name)}  # fmt: skip


def kind_of_driver(question: dict, gpus: list[dict]) -> str:
    """Return `datacenter`, `vgpu`, or `none` where the lab names no driver for this machine."""
    vgpus_by_name = re.search(r"@(grid|nvidia)_", question["profile"])
    virtual = any(gpu["virtual"] for gpu in gpus)
    mode = question["mode"]
    if mode == "none":
        return "none"
    if mode == "vgpu" or (mode == "group" and (virtual or vgpus_by_name)):
        return "vgpu" if question["package_branch"] else "none"
    return "datacenter" if question["branch"] else "none"


def wants_open(kind: str, question: dict, gpus: list[dict]) -> bool:
    """Say whether the driver should have open kernel modules."""
    if question["modules"] != "auto":
        return question["modules"] == "open"
    branch = question["branch"] if kind == "datacenter" else question["package_branch"]
    cards = {gpu["architecture"] for gpu in gpus}
    if "Blackwell" in cards or major(branch) >= OPEN_ONLY:
        return True
    able = OPEN_IN_VGPU_GUESTS if kind == "vgpu" else OPEN
    return major(branch) >= OPEN_BY_DEFAULT and cards.issubset(able)


def refusals(kind: str, opened: bool, question: dict, gpus: list[dict]) -> list[str]:  # noqa: FBT001 - one value of several
    """Return why the driver that the lab names can't be installed here."""
    if kind == "none":
        return []
    if not gpus:
        return [
            "there is no NVIDIA GPU on the PCI bus: is it attached to the VM, with enough MMIO?"
        ]
    reasons = []
    virtual = [gpu["address"] for gpu in gpus if gpu["virtual"]]
    if kind == "datacenter" and virtual:
        reasons.append(f"{', '.join(virtual)} is a vGPU, which needs drivers.vgpu of the lab file")
    branch = major(question["branch"] if kind == "datacenter" else question["package_branch"])
    cards = {gpu["architecture"] for gpu in gpus}
    if "Blackwell" in cards and branch < FIRST_FOR_BLACKWELL:
        reasons.append(f"Blackwell cards need branch {FIRST_FOR_BLACKWELL} or later, not {branch}")
    if "Blackwell" in cards and not opened:
        reasons.append("Blackwell cards work with open kernel modules only")
    if branch >= OPEN_ONLY and not opened:
        reasons.append(
            f"from branch {OPEN_ONLY} on there are open kernel modules only, not {branch}"
        )
    if "older" in cards and opened:
        reasons.append("cards before Turing work with proprietary kernel modules only")
    if "older" in cards and branch > LAST_FOR_OLDER:
        reasons.append(f"branch {LAST_FOR_OLDER} is the last for cards before Turing, not {branch}")
    return reasons


def branch_of(name: str, version: str) -> int | None:
    """Return the branch of a driver package; None where the package is no part of a driver."""
    if not DRIVER_PACKAGE.search(name) or NO_DRIVER.search(name):
        return None
    match = BRANCH_IN_NAME.match(name) or DRIVER_VERSION.match(version)
    return int(match[1]) if match else None


def wrong_packages(kind: str, question: dict, packages: dict[str, str]) -> list[str]:
    """Return the installed driver packages of another kind or branch than is wanted.

    Without a GPU, all are.
    """
    found = {name: branch_of(name, version) for name, version in sorted(packages.items())}
    drivers = {name: branch for name, branch in found.items() if branch is not None}
    if kind == "vgpu":
        return [name for name in drivers if not VGPU_PACKAGE.search(name)]
    if kind == "datacenter":
        wanted = major(question["branch"])
        return [name for name, branch in drivers.items()
                if branch != wanted or VGPU_PACKAGE.search(name)]  # fmt: skip
    return list(drivers) if question["mode"] == "none" else []


def major(branch: str) -> int:
    """Return the first number of a branch or version."""
    return int(branch.partition(".")[0])


def secure_boot(sysfs: Path) -> bool:
    """Say whether the firmware lets the kernel load signed modules only."""
    found = list(sysfs.glob("firmware/efi/efivars/SecureBoot-*"))
    return bool(found) and found[0].read_bytes()[-1:] == b"\x01"


def loaded_version(path: Path) -> str | None:
    """Return the version of the NVIDIA module in the kernel; None where there is none."""
    match = re.search(r"\b(\d{3}\.\d+(?:\.\d+)?)\b", path.read_text()) if path.exists() else None
    return match[1] if match else None


def survey(sysfs: Path, version_file: Path, record: Path, question: dict) -> dict:
    """Answer the question."""
    gpus, switches = read_devices(sysfs)
    packages = read_packages()
    kind = kind_of_driver(question, gpus)
    opened = kind != "none" and wants_open(kind, question, gpus)
    return {
        "gpus": gpus,
        "nvswitches": switches,
        "kind": kind,
        "open": opened,
        "refusals": refusals(kind, opened, question, gpus),
        "packages": packages,
        "wrong": wrong_packages(kind, question, packages),
        "record": json.loads(record.read_text()) if record.exists() else {},
        "run_file": UNINSTALLER.exists(),
        "nouveau": (sysfs / "module/nouveau").exists(),
        "secure_boot": secure_boot(sysfs),
        "loaded": loaded_version(version_file),
    }


if __name__ == "__main__":
    places = [Path(word) for word in sys.argv[1:4]]
    print(json.dumps(survey(*places, json.load(sys.stdin))))
