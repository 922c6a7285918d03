"""Root file systems for guests that boot, Debian 12's above all: made once, kept between runs.

One stands for the template of a real site: systemd, sshd, cloud-init, a kernel with its headers
and DKMS. What takes the place of VMware's tools and of hardware comes from the folder `root`
beside this module. The root is never written to: each guest puts a layer of its own over it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provision.errors import UsageError

CACHE_VARIABLE = "VDL_CACHE"


@dataclass(frozen=True, slots=True)
class System:
    """A release of Debian or of Ubuntu, as a template has it.

    Attributes:
        suite: The release's name in its archive.
        packages: What is installed beside what every release has.
        sources: Lines of apt; empty for Debian's own archive.
        keyring: The keys that the archive is signed with; None for those that apt knows here.
    """

    suite: str
    packages: tuple[str, ...]
    sources: tuple[str, ...] = ()
    keyring: Path | None = None


# What every template has.
TEMPLATE = (
    *("systemd", "systemd-sysv", "dbus", "udev", "openssh-server", "sudo", "cloud-init"),
    *("apt", "python3", "python3-apt", "ca-certificates"),
    *("iproute2", "kmod", "procps", "libnss-myhostname"),
)
DEBIAN_12 = System("bookworm", (
    *TEMPLATE,
    "python3-venv",
    # How a virtual machine sets up its network; a container's is there when it boots.
    *("ifupdown", "isc-dhcp-client"),
    # What a driver is built with; the cloud kernel has VMware's devices too.
    *("linux-image-cloud-amd64", "linux-headers-cloud-amd64", "dkms", "gcc", "libc6-dev", "make"),
))  # fmt: skip
FILES = Path(__file__).with_name("root")

# Run by mmdebstrap, with the new root as $1.
HOOKS = (
    'cp -a --no-preserve=ownership "$2"/. "$1"/',
    'chmod 755 "$1"/usr/bin/vmware-rpctool "$1"/usr/local/sbin/* "$1"/usr/local/libexec/*',
    # uname(2) in a container tells of the controller's kernel; see the source.
    'chroot "$1" gcc -O2 -shared -fPIC -o /usr/local/lib/vdl-uname.so /usr/local/src/vdl-uname.c',
    'chroot "$1" systemctl enable vdl-guestinfo vdl-hardware vdl-tools',
    # Each guest has its own.
    'rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/hostname "$1"/etc/resolv.conf',
    ': > "$1"/etc/machine-id',
)


def cache_folder() -> Path:
    """Return where roots are kept: `$VDL_CACHE`, or `vdl` in the user's cache folder."""
    if place := os.environ.get(CACHE_VARIABLE):
        return Path(place)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vdl"


def recipe(system: System = DEBIAN_12) -> str:
    """Return a digest of everything that a root is made from; another recipe is another root."""
    parts = (system.suite, system.packages, system.sources, HOOKS)
    digest = hashlib.sha256(repr(parts).encode())
    for path in sorted(path for path in FILES.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(FILES)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def is_made() -> bool:
    """Whether this recipe has a root, so that nobody has to wait for one."""
    return _folder(DEBIAN_12).is_dir()


def _folder(system: System) -> Path:
    return cache_folder() / "guests" / f"{system.suite}-{recipe(system)}"


def root_file_system(system: System = DEBIAN_12) -> Path:
    """Return the root's folder; make it first where this recipe has none yet: about a minute.

    Only root can, and mmdebstrap must be there.

    Raises:
        UsageError: mmdebstrap failed.
    """
    folder = _folder(system)
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(folder.parent):
        if not folder.is_dir():
            _make(system, folder)
    return folder


def _make(system: System, folder: Path) -> None:
    """Make a root under another name and rename it when it is whole."""
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=directory"]
    command += [f"--include={','.join(system.packages)}"]
    command += [f"--keyring={system.keyring}"] if system.keyring else []
    command += [f"--customize-hook={hook.replace('$2', str(FILES))}" for hook in HOOKS]
    command += [system.suite, str(fresh), *system.sources]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise UsageError(
            "the root file system of the guests can't be made",
            subject=str(folder),
            why="\n".join((done.stdout + done.stderr).strip().splitlines()[-10:]),
            fix="see that a mirror can be reached from here",
        )
    fresh.rename(folder)


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Let one process at a time make a root; the others wait and find it."""
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
