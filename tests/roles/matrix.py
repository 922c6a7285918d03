"""A lab of one system with a guest of each kind, and what a run has changed on their disks."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from provision.guests.configure import Guests, configure, measure, reach_guests
from provision.guests.events import HostResult, PlaybookResult
from provision.plan.snapshot import GpuDevice
from provision.simulator.guests.backend import GuestGpu
from provision.simulator.guests.nspawn import NspawnGuests
from provision.simulator.guests.rootfs import DEBIAN_12, root_file_system
from tests.gate.states import pci_config
from tests.guests.booted import A100, A100_10C, BootedGuest, BootedLab
from tests.guests.fakepayload import make_payload
from tests.guests.sshd import make_key
from tests.guests.systems import system
from tests.roles.debs import datacenter_debs, index, vgpu_deb, vgpu_run, write
from tests.roles.trees import gpu_tree, hgx_tree
from tests.roles.ubuntu_debs import ubuntu_debs

CPU, DIRECT, DEB, RUN = "lab-cpu-1", "lab-direct-1", "lab-shared-1", "lab-shared-2"
VGPU = (GpuDevice(11, "vgpu", "grid_a100d-10c"),)
GPUS = {CPU: (), DIRECT: (GpuDevice(11, "passthrough", "0000:3b:00.0"),), DEB: VGPU, RUN: VGPU}
PLAYED: Mapping[str, tuple[GuestGpu, ...]]
PLAYED = {CPU: (), DIRECT: (A100,), DEB: (A100_10C,), RUN: (A100_10C,)}
ADDRESS = {CPU: "", DIRECT: '"0000:03:00.0"', DEB: '"0000:02:01.0"', RUN: '"0000:02:01.0"'}
GRID = "550.144.03"
# The branch of each system's own driver, in a version that comes after the archive's.
VERSIONS = {
    "debian-12": "535.999.01",
    "debian-13": "550.999.01",
    "ubuntu-22.04": "580.999.01",
    "ubuntu-24.04": "580.999.01",
}
MODULES = {"debian-12": "nvidia-current", "debian-13": "nvidia-current"}
SYSFS = "srv/sysfs"
FRAMEWORK = Path(__file__).parents[1] / "gate/faketf"
# What changes by itself, and what stays of any run: lists of packages, logs, Ansible's own files,
# and that somebody has logged in.
PASSING = (
    *("var/lib/apt/lists", "var/cache/apt", "var/log", "var/lib/systemd", "tmp", "var/tmp", "run"),
    *("home/vdl/.ansible", "home/vdl/.cache", "root/.ansible"),
)


class Run(Protocol):
    """Runs a playbook on some guests, in check mode or not."""

    def __call__(self, *, check: bool) -> PlaybookResult: ...


@dataclass
class Matrix:
    """The guests of one system; `variables` are those of every run."""

    name: str
    lab: BootedLab
    root: Path
    variables: dict[str, Any]

    @property
    def version(self) -> str:
        """The version of the data-centre driver."""
        return VERSIONS[self.name]

    def guest(self, name: str) -> BootedGuest:
        return self.lab.guests[name]

    def reach(self) -> Guests:
        vms = [replace(guest.vm, gpus=GPUS[name]) for name, guest in self.lab.guests.items()]
        return reach_guests(self.lab.lab, vms, self.lab.state)

    def package(self, name: str) -> dict[str, Any]:
        """Return variables of machines whose vGPU driver is this file."""
        files = self.lab.folder / "files"
        vgpu = {"package": str(files / name), "token": str(files / "token.tok")}
        branch = self.version.partition(".")[0]
        return {"vdl_drivers": {"datacenter": branch, "vgpu": vgpu}}

    def configure(self, names: tuple[str, ...], *, tags: tuple[str, ...] = (), **more: Any) -> Run:
        """Return a function that runs site.yml on some guests, in check mode or not."""

        def run(*, check: bool) -> PlaybookResult:
            variables = {**self.variables, **more}
            settings = self.lab.settings(tags=tags, limit=names, check=check, variables=variables)
            return configure(self.reach(), settings)

        return run

    def measure(self, names: tuple[str, ...]) -> Run:
        """Return a function that runs benchmark.yml on some guests."""
        runs = [{"name": "one", "model": "mnist", "batch_size": 4}]

        def run(*, check: bool) -> PlaybookResult:
            settings = self.lab.settings(limit=names, check=check, variables=self.variables)
            return measure(self.reach(), settings, runs, self.lab.folder / "results")

        return run

    def twice(self, names: tuple[str, ...], run: Run, *, least: int = 1) -> dict[str, HostResult]:
        """Insist that checking changes nothing, that a run succeeds, and a second changes nothing.

        `least` is how many changes the first run makes on each guest. Returns its results.
        """
        before = {name: self.changed(name) for name in names}
        checked = _good(run(check=True))
        touched = {
            name: sorted(set(self.changed(name).items()) ^ set(before[name].items()))
            for name in names
        }
        assert not any(touched.values()), touched
        first = _good(run(check=False))
        assert least == 0 or not [name for name in names if self.changed(name) == before[name]]
        second = _good(run(check=False))
        foretold = {name: min(checked[name].changed, least) for name in names}
        assert foretold == dict.fromkeys(names, least)
        assert {name: min(first[name].changed, least) for name in names} == foretold
        again = {name: second[name].changed for name in names}
        assert again == dict.fromkeys(names, 0), again
        return first

    def changed(self, name: str) -> dict[str, str]:
        """Return what differs on a guest's disk from the root that it was made from."""
        disk = self.guest(name).disk
        found = {}
        for path in disk.rglob("*"):
            place = str(path.relative_to(disk))
            if place.startswith(PASSING) or "__pycache__" in place:
                continue
            seen = _look(path)
            # Opening a file to write copies it, even if nothing is written.
            if seen != _look(self.root / place):
                found[place] = seen
        return found


def _good(result: PlaybookResult) -> Mapping[str, HostResult]:
    failed = {host.name: (host.failed_task, host.message) for host in result.failed}
    assert failed == {}, failed
    return result.hosts


def _look(path: Path) -> str:
    """Return what makes a file what it is; empty where there is none."""
    try:
        seen = path.lstat()
    except OSError:
        return ""
    if stat.S_ISLNK(seen.st_mode):
        return f"link {path.readlink()}"
    content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return f"{seen.st_mode:o} {seen.st_uid} {seen.st_gid} {content}"


@contextmanager
def matrix(name: str, folder: Path) -> Iterator[Matrix]:
    """Boot a guest of each kind, on one system."""
    what = DEBIAN_12 if name == "debian-12" else system(name)
    root = root_file_system(what)
    stand_ins(folder, name, root)
    make_key(folder / "user_key")
    lab = BootedLab(folder, NspawnGuests(folder / "guests", system=what))
    variables = {
        "nvidia_driver_apt_source": "deb [trusted=yes] file:/srv/nvidia ./",
        "nvidia_driver_sysfs": f"/{SYSFS}",
        "vgpu_licence_timeout": 10,
        "vdl_ca_file": str(certificate(folder)),
        "payload_source": str(make_payload(folder / "source")),
        **framework(folder / "wheels"),
    }
    try:
        for guest in (lab.add(name, PLAYED[name], boot=False) for name in GPUS):
            prepare(guest, folder / "repository")
            guest.boot()
        for guest in lab.guests.values():
            guest.wait()
            guest.run("cloud-init", "status", "--wait")
        yield Matrix(name, lab, root, variables)
    finally:
        lab.backend.close()


def stand_ins(folder: Path, name: str, root: Path) -> None:
    """Make the repository of the data-centre driver, and the administrator's files."""
    repository, files = folder / "repository", folder / "files"
    if name.startswith("ubuntu"):
        (kernel,) = (path.name for path in (root / "usr/lib/modules").iterdir())
        ubuntu_debs(repository, folder / "build", VERSIONS[name], kernel)
    else:
        datacenter_debs(repository, folder / "build", VERSIONS[name])
    index(repository)
    vgpu_deb(files, folder / "grid", GRID)
    vgpu_run(files, folder / "run", GRID)
    (files / "token.tok").write_text("good marker-of-the-token")
    (files / "token.tok").chmod(0o600)


def prepare(guest: BootedGuest, repository: Path) -> None:
    """Put the repository on a disk, and what the guest's PCI bus and its framework show."""
    shutil.copytree(repository, guest.disk / "srv/nvidia")
    tree = guest.disk / SYSFS
    (tree / "bus/pci/devices").mkdir(parents=True)
    if guest.name == DIRECT:  # so the fabric manager is wanted
        hgx_tree(tree, pci_config(None))
    elif guest.name != CPU:
        gpu_tree(tree, "0x20b5", pci_config(GRID))
    write(guest.disk / "etc/environment", f"FAKE_GPUS=[{ADDRESS[guest.name]}]\n")


def certificate(folder: Path) -> Path:
    """Make a site's own certificate."""
    words = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=a site's"]
    bundle = folder / "ca.pem"
    words += ["-keyout", str(folder / "ca.key"), "-out", str(bundle)]
    subprocess.run(words, check=True, capture_output=True)
    return bundle


def framework(folder: Path) -> dict[str, str]:
    """Make a wheel that stands in for TensorFlow; return the variables that have it installed."""
    folder.mkdir()
    wheel = folder / "tensorflow-2.0-py3-none-any.whl"
    info = "tensorflow-2.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in sorted(FRAMEWORK.rglob("*.py")):
            archive.write(path, path.relative_to(FRAMEWORK))
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tensorflow\nVersion: 2.0\n"
        )
        tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", tag)
        archive.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    wanted = folder.with_name("requirements.txt")
    wanted.write_text(f"tensorflow==2.0 --hash=sha256:{digest}\n")
    kinds = ("payload_requirements_cpu", "payload_requirements_gpu")
    return {"payload_wheels": str(folder), **dict.fromkeys(kinds, str(wanted))}


def document(path: Path) -> dict[str, Any]:
    """Read what a run has brought home."""
    read: dict[str, Any] = json.loads(path.read_text())
    return read
