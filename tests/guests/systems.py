"""The systems beside Debian 12 that guests boot: other releases, as a fresh template has them.

No headers, no DKMS, no venv are in them: what the roles need, they must bring.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from provision.simulator.guests.rootfs import TEMPLATE, System, cache_folder

# The compiler is for what stands in for the kernel's uname (provision/simulator/guests/root).
COMPILER = ("gcc", "libc6-dev")
UBUNTU = "http://archive.ubuntu.com/ubuntu"
NAMES = ("debian-13", "ubuntu-22.04", "ubuntu-24.04")


def system(name: str) -> System:
    """Return a system by its name in `NAMES`."""
    if name == "debian-13":
        return System("trixie", (*TEMPLATE, *COMPILER, "linux-image-cloud-amd64"))
    suite = {"ubuntu-22.04": "jammy", "ubuntu-24.04": "noble"}[name]
    sources = tuple(
        f"deb {UBUNTU} {suite}{pocket} main restricted universe multiverse"
        for pocket in ("", "-updates", "-security")
    )
    # As in Canonical's cloud images: the generic kernel without modules for bare metal.
    packages = (*TEMPLATE, *COMPILER, "linux-image-virtual", "initramfs-tools", "lsb-release")
    return System(suite, packages, sources, _ubuntu_keys())


def _ubuntu_keys() -> Path:
    """Return the keys of Ubuntu's archive, from a package of Debian's: so their origin is signed.

    Debian has it from release 13 on, and its own keys know that release since 12.
    """
    folder = cache_folder() / "ubuntu-keyring"
    keys = folder / "usr/share/keyrings/ubuntu-archive-keyring.gpg"
    if not keys.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        words = ["mmdebstrap", "--quiet", "--variant=extract", "--include=ubuntu-keyring"]
        subprocess.run([*words, "trixie", str(folder)], check=True)
    return keys
