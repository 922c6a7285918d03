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
from tests.gate.states import pci_config
from tests.guests.booted import A100, A100_10C, BootedGuest, BootedLab
from tests.guests.sshd import make_key
from tests.roles.debs import MODULE, RETIRED, datacenter_debs, index, vgpu_deb, vgpu_run
from tests.roles.trees import gpu_tree, hgx_tree, secure_boot

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
    """A guest with a whole card, and the tree of a machine with two and an NVSwitch."""
    tree = site.lab.folder / "guests/lab-direct-1/disk/srv/hgx"
    hgx_tree(tree, pci_config(None))
    return boot(site, "lab-direct-1", A100)


@pytest.fixture(scope="module")
def shared(site: Site) -> BootedGuest:
    """A guest with a vGPU, and trees of other GPUs to look at."""
    trees = site.lab.folder / "guests/lab-shared-1/disk/srv"
    gpu_tree(trees / "secure", "0x20b5", pci_config("550.144.02"))
    secure_boot(trees / "secure")
    gpu_tree(trees / "virtual", "0x20b5", pci_config("550.144.02"))
    gpu_tree(trees / "blackwell", "0x2901", pci_config(None))
    (trees / "empty/bus/pci/devices").mkdir(parents=True)
    return boot(site, "lab-shared-1", A100_10C)


def on_disk(guest: BootedGuest, module: str = "nvidia") -> str:
    return guest.run("modinfo", "-F", "version", module).strip()


def loaded(guest: BootedGuest) -> str:
    return guest.run("cat", "/sys/module/nvidia/version").strip()


def test_whole_cards_get_the_data_centre_driver(site: Site, direct: BootedGuest) -> None:
    checked = site.run(direct, check=True, **DIRECT)
    assert (checked.message, checked.changed > 3) == (None, True)
    retired = site.run(direct, nvidia_driver_branch_package=RETIRED, **DIRECT)
    assert "has no driver of branch 535 any more" in (retired.message or "")
    assert "vdl" not in direct.run("ls", "/etc/modprobe.d")

    first = site.run(direct, **DIRECT)
    assert first.message is None
    second = site.run(direct, **DIRECT)
    assert (second.message, second.changed) == (None, 0)
    assert site.run(direct, check=True, **DIRECT).changed == 0

    assert on_disk(direct, "nvidia-current") == loaded(direct) == "535.183.01"
    assert direct.machine.boots == 1
    awake = "systemctl is-active nvidia-persistenced; systemctl is-enabled nvidia-persistenced"
    assert direct.run("sh", "-c", awake).split() == ["active", "enabled"]
    assert direct.run("cat", "/run/standin-persistenced").strip() == "--verbose"
    assert "linux-headers-cloud-amd64" in direct.run("apt-mark", "showhold")
    assert "blacklist nouveau" in direct.run("cat", "/etc/modprobe.d/vdl-nouveau.conf")
    assert "* - memlock unlimited" in direct.run("cat", "/etc/security/limits.d/90-vdl.conf")


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
    logs = [path.read_text() for path in (site.lab.state / "logs").rglob("*") if path.is_file()]
    assert any("Send the token" in log for log in logs)
    assert not any("marker-of-the-token" in log for log in logs)


def test_several_cards_beside_nvswitches_get_a_fabric_manager(
    site: Site, direct: BootedGuest
) -> None:
    given = {**DIRECT, "vdl_gpu_mode": "bare-metal", "nvidia_driver_sysfs": "/srv/hgx"}
    first = site.run(direct, tags=("nvlink",), **given)
    second = site.run(direct, tags=("nvlink",), **given)
    assert (first.message, second.message, second.changed) == (None, None, 0)
    assert direct.run("systemctl", "is-active", "nvidia-fabricmanager").strip() == "active"
    version = direct.run("dpkg-query", "-W", "-f", "${Version}", "nvidia-fabricmanager-535")
    assert version == "535.183.01-1"


def test_another_gpu_mode_brings_another_driver_and_one_reboot(
    site: Site, direct: BootedGuest
) -> None:
    given = site.vgpu("NVIDIA-Linux-x86_64-550.144.03-grid.run")
    boots = direct.machine.boots
    changed = site.run(direct, **given)
    assert changed.message is None
    second = site.run(direct, **given)
    assert (second.message, second.changed) == (None, 0)

    packages = direct.run("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n")
    assert "nvidia-kernel-dkms installed" not in packages
    assert on_disk(direct) == loaded(direct) == "550.144.03"
    assert direct.machine.boots == boots + 1
    # The installer is no judge of whether it is needed; it ran once.
    assert len(direct.run("cat", "/var/log/standin-installer.log").splitlines()) == 1
    assert direct.run("systemctl", "is-enabled", "vdl-nvidia-persistence").strip() == "enabled"


def test_back_to_whole_cards_the_run_file_is_uninstalled(site: Site, direct: BootedGuest) -> None:
    assert site.run(direct, **DIRECT).message is None
    assert loaded(direct) == "535.183.01"
    assert direct.machine.run(["test", "-e", "/usr/bin/nvidia-uninstall"]).returncode == 1


def test_a_gpu_that_is_gone_takes_its_driver_along_and_no_template_s(
    site: Site, direct: BootedGuest
) -> None:
    gone = {**DIRECT, "vdl_gpu_mode": "none"}
    checked = site.run(direct, check=True, **gone)
    assert (checked.message, checked.changed > 3) == (None, True)
    assert on_disk(direct, "nvidia-current") == "535.183.01"
    first = site.run(direct, **gone)
    assert first.message is None
    assert direct.machine.run(["modinfo", "nvidia-current"]).returncode == 1
    assert direct.run("apt-mark", "showhold") == ""
    assert direct.run("find", "/etc", "-path", "*vdl-n*", "-o", "-path", "*nvidia*vdl*") == ""
    # Of a service that was enabled, systemd may still know the name.
    units = direct.run("systemctl", "list-units", "--all", "--plain").splitlines()
    assert [u for u in units if "nvidia" in u and "not-found" not in u] == []

    assert site.run(direct, **gone).changed == 0
    direct.run("sh", "-c", "dpkg --install /srv/nvidia/nvidia-smi_*.deb")
    assert site.run(direct, **gone).changed == 0
    assert "535" in direct.run("dpkg-query", "-W", "-f", "${Version}", "nvidia-smi")


def test_fault_35_a_vgpu_without_a_licence_is_told_and_not_failed(
    site: Site, shared: BootedGuest
) -> None:
    given = site.vgpu("nvidia-linux-grid-550_550.144.02_amd64.deb", "bad.tok")
    elsewhere = "echo ClientConfigTokenPath=/srv/tokens >>/etc/nvidia/gridd.conf"
    shared.run("sh", "-c", f"{elsewhere}; touch /etc/nvidia/ClientConfigToken/old.tok")
    result = site.run(shared, tags=("licence",), **given)
    assert (result.message, result.data["vdl_licence"]) == (None, "Unlicensed")
    assert "ClientConfigTokenPath" not in shared.run("cat", "/etc/nvidia/gridd.conf")
    logs = [path.read_text() for path in (site.lab.state / "logs").rglob("*") if path.is_file()]
    assert any("in its way: /etc/nvidia/ClientConfigToken/old.tok" in log for log in logs)


def test_a_driver_that_can_t_be_built_shows_the_compiler_s_words(
    site: Site, shared: BootedGuest
) -> None:
    broken = site.run(
        shared, tags=("driver",), **site.vgpu("nvidia-linux-grid-550_550.99.01_amd64.deb")
    )
    assert "this kernel is too new" in (broken.message or "")
    assert "The end of /var/lib/dkms/nvidia/550.99.01/build/make.log" in (broken.message or "")
    good = site.vgpu("nvidia-linux-grid-550_550.144.02_amd64.deb")
    assert site.run(shared, tags=("driver",), **good).message is None
    assert on_disk(shared) == "550.144.02"


BLACKWELL = {"nvidia_driver_modules": "proprietary", "nvidia_driver_sysfs": "/srv/blackwell"}


@pytest.mark.parametrize(
    ("mode", "drivers", "extra", "words"),
    [
        ("vgpu", {"token": "open.tok"}, {}, "has mode 0644"),
        ("vgpu", {"token": "no.tok"}, {}, "there is no such token"),
        ("vgpu", {"sha256": "0" * 64}, {}, "instead of 000"),
        ("vgpu", {"package": "no-550.1.run"}, {}, "there is no such file"),
        ("vgpu", {"package": "no-550.run"}, {}, "its name must hold the driver's version"),
        ("vgpu", {}, {"nvidia_driver_sysfs": "/srv/secure"}, "Secure Boot is on"),
        ("passthrough", "535", {"nvidia_driver_sysfs": "/srv/virtual"}, "is a vGPU, which needs"),
        ("passthrough", "535", {"nvidia_driver_sysfs": "/srv/empty"}, "there is no NVIDIA GPU"),
        ("passthrough", "570", BLACKWELL, "open kernel modules only"),
    ],
)  # fmt: skip
def test_what_can_t_work_is_refused_with_its_reason(
    site: Site, shared: BootedGuest, mode: str, drivers: Any, extra: dict[str, Any], words: str
) -> None:
    given = site.vgpu("nvidia-linux-grid-550_550.144.02_amd64.deb")["vdl_drivers"]["vgpu"]
    if mode == "vgpu":
        files = {key: str(site.files / name) for key, name in drivers.items() if key != "sha256"}
        chosen: dict[str, Any] = {"vgpu": given | drivers | files}
    else:
        chosen = {"datacenter": drivers}
    result = site.run(
        shared, tags=("driver", "licence"), vdl_gpu_mode=mode, vdl_drivers=chosen, **extra
    )
    assert words in (result.message or "")


HOLD_LOCK = """\
import fcntl, time
file = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(file, fcntl.LOCK_EX)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def plain(site: Site) -> BootedGuest:
    return boot(site, "lab-cpu-1")


def test_fault_33_who_keeps_the_package_manager_busy_is_named(
    site: Site, plain: BootedGuest
) -> None:
    plain.run("systemd-run", "--unit=busy", "python3", "-c", HOLD_LOCK)
    busy = site.run(plain, tags=("base",), base_lock_timeout=2)
    assert "python3" in (busy.message or "")
    assert "has held /var/lib/dpkg/lock-frontend for more than 2 s" in (busy.message or "")
    plain.run("systemctl", "stop", "busy")
    assert site.run(plain, tags=("base",)).message is None


def test_fault_33_a_mirror_that_is_down_is_told(site: Site, plain: BootedGuest) -> None:
    plain.run("sh", "-c", "mv /etc/apt/sources.list /root; apt-get -y -q remove systemd-timesyncd")
    plain.run("sh", "-c", "echo deb http://127.0.0.1:9/debian bookworm main >/etc/apt/sources.list")
    down = site.run(plain, tags=("base",))
    assert down.failed_task == "Read the lists of packages"
    assert "127.0.0.1" in (down.message or "")
    plain.run("mv", "/root/sources.list", "/etc/apt/sources.list")
    again = site.run(plain, tags=("base",))
    assert (again.message, again.changed) == (None, 1)


def test_fault_33_a_user_who_may_not_become_root_is_told(site: Site, plain: BootedGuest) -> None:
    plain.run("sh", "-c", "mv /etc/sudoers.d /etc/sudoers.away")
    refused = site.run(plain, tags=("base",))
    plain.run("sh", "-c", "mv /etc/sudoers.away /etc/sudoers.d")
    assert "sudo" in (refused.message or "")


OLD = "9.9.9-1-cloud-amd64"
# The next boot finds the archive's kernel, as after an upgrade.
FORGET = (
    "[Service]\nExecStartPre=/bin/sh -c 'test ! -e /var/lib/old || rm -rf /lib/modules/9.9.9*'\n"
)


def test_a_kernel_without_headers_is_replaced_before_the_driver(site: Site) -> None:
    guest = site.lab.add("lab-old-1", (A100,), boot=False)
    shutil.copytree(site.lab.folder / "repository", guest.disk / "srv/nvidia")
    (guest.disk / "usr/lib/modules" / OLD).mkdir(parents=True)
    drop_in = guest.disk / "etc/systemd/system/vdl-guestinfo.service.d/old.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(FORGET)
    guest.boot()
    guest.wait()
    assert guest.run("uname", "-r").strip() == OLD
    guest.run("touch", "/var/lib/old")

    refused = site.run(guest, nvidia_driver_reboot=False, **DIRECT)
    assert f"has no linux-headers-{OLD} any more" in (refused.message or "")
    result = site.run(guest, **DIRECT)
    assert result.message is None
    assert guest.machine.boots == 2
    assert loaded(guest) == "535.183.01"
