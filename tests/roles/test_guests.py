"""The roles on guests that boot: real apt, DKMS, systemd and reboots; the packages stand in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from provision.guests.configure import configure
from provision.guests.events import HostResult
from provision.simulator.guests.backend import GuestGpu
from provision.simulator.guests.nspawn import NspawnGuests
from tests.guests.booted import A100, A100_10C, BootedGuest, BootedLab
from tests.guests.sshd import make_key
from tests.roles.debs import MODULE, datacenter_debs, index, vgpu_deb, vgpu_run

pytestmark = [pytest.mark.nspawn, pytest.mark.timeout(900)]

SOURCE = "deb [trusted=yes] file:/srv/nvidia ./"
TAGS = ("base", "driver", "licence", "nvlink")
OTHER_MODULE = MODULE.replace("MODULE_VERSION", "#error this kernel is too new\nMODULE_VERSION")


@dataclass
class Site:
    """A lab whose guests know a repository of stand-ins, and files of the administrator."""

    lab: BootedLab
    files: Path

    def run(self, guest: BootedGuest, *, check: bool = False, **variables: Any) -> HostResult:
        """Run the playbook on one guest; `tags` are those of site.yml."""
        tags = variables.pop("tags", TAGS)
        given = {"nvidia_driver_apt_source": SOURCE, "vgpu_licence_timeout": 10, **variables}
        settings = self.lab.settings(tags=tags, limit=(guest.name,), check=check, variables=given)
        return configure(self.lab.reach(), settings).hosts[guest.name]

    def vgpu(self, package: str, token: str = "good.tok") -> dict[str, Any]:  # noqa: S107 - a name
        """Return variables of a machine with a vGPU."""
        vgpu = {"package": str(self.files / package), "token": str(self.files / token)}
        return {"vdl_gpu_mode": "vgpu", "vdl_drivers": {"vgpu": vgpu}}


DIRECT: dict[str, Any] = {"vdl_gpu_mode": "passthrough", "vdl_drivers": {"datacenter": "535"}}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("roles")
    files = folder / "files"
    datacenter_debs(folder / "repository", folder / "build")
    index(folder / "repository")
    vgpu_deb(files, folder / "grid", "550.144.02")
    vgpu_deb(files, folder / "broken", "550.99.01", OTHER_MODULE)
    vgpu_run(files, folder / "run", "550.144.03")
    for name, text in (("good.tok", "good"), ("bad.tok", "bad"), ("open.tok", "good")):
        (files / name).write_text(f"{text} marker-of-the-token")
        (files / name).chmod(0o644 if name == "open.tok" else 0o600)
    make_key(folder / "user_key")
    lab = BootedLab(folder, NspawnGuests(folder / "guests"))
    try:
        yield Site(lab, files)
    finally:
        lab.backend.close()


def boot(site: Site, name: str, *gpus: GuestGpu) -> BootedGuest:
    """Boot a guest that has the repository on its disk."""
    guest = site.lab.add(name, gpus, boot=False)
    shutil.copytree(site.lab.folder / "repository", guest.disk / "srv/nvidia")
    guest.boot()
    guest.wait()
    return guest


@pytest.fixture(scope="module")
def direct(site: Site) -> BootedGuest:
    return boot(site, "lab-direct-1", A100)


@pytest.fixture(scope="module")
def shared(site: Site) -> BootedGuest:
    return boot(site, "lab-shared-1", A100_10C)


def on_disk(guest: BootedGuest, module: str = "nvidia") -> str:
    return guest.run("modinfo", "-F", "version", module).strip()


def loaded(guest: BootedGuest) -> str:
    return guest.run("cat", "/sys/module/nvidia/version").strip()


def test_whole_cards_get_the_data_centre_driver(site: Site, direct: BootedGuest) -> None:
    checked = site.run(direct, check=True, **DIRECT)
    assert (checked.message, checked.changed > 3) == (None, True)
    assert "vdl" not in direct.run("ls", "/etc/modprobe.d")

    first = site.run(direct, **DIRECT)
    assert first.message is None
    second = site.run(direct, **DIRECT)
    assert (second.message, second.changed) == (None, 0)
    assert site.run(direct, check=True, **DIRECT).changed == 0

    assert on_disk(direct, "nvidia-current") == loaded(direct) == "535.183.01"
    assert direct.machine.boots == 1
    assert direct.run("systemctl", "is-active", "nvidia-persistenced").strip() == "active"
    assert "linux-headers-cloud-amd64" in direct.run("apt-mark", "showhold")
    assert "blacklist nouveau" in direct.run("cat", "/etc/modprobe.d/vdl-nouveau.conf")
    assert direct.ssh("ulimit -l").stdout.strip() == "unlimited"


def test_vgpus_get_the_administrators_driver_and_a_licence(site: Site, shared: BootedGuest) -> None:
    given = site.vgpu("nvidia-linux-grid-550_550.144.02_amd64.deb")
    checked = site.run(shared, check=True, **given)
    assert checked.message is None
    first = site.run(shared, **given)
    assert first.message is None
    assert first.data["vdl_licence"] == "Licensed"
    second = site.run(shared, **given)
    assert (second.message, second.changed) == (None, 0)

    assert on_disk(shared) == loaded(shared) == "550.144.02"
    modes = "stat -c %a%U /etc/nvidia/ClientConfigToken/vdl.tok; cat /etc/nvidia/gridd.conf"
    assert shared.run("sh", "-c", modes).split() == ["744root", "FeatureType=1"]
    log = (site.lab.state / "logs" / "site" / "ansible.log").read_text()
    assert "marker-of-the-token" not in log
