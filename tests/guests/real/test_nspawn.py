"""Guests that boot, as the simulated vCenter starts and ends them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.site import VDL
from tests.guests.booted import A100, BootedLab, booted_lab, wait_until

pytestmark = pytest.mark.nspawn

BOOT_ID = "/proc/sys/kernel/random/boot_id"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootedLab]:
    folder = tmp_path_factory.mktemp("lab")
    with booted_lab(folder, "lab-cpu-1", "lab-gpu-1", gpus={"lab-gpu-1": (A100,)}) as lab:
        yield lab


def test_cloud_init_makes_the_user_and_publishes_the_keys(lab: BootedLab) -> None:
    guest = lab.guests["lab-cpu-1"]
    assert guest.report is not None
    assert guest.report.hostname == "lab-cpu-1"
    done = guest.ssh("cloud-init status --long; hostname; sudo id -u; systemctl is-system-running")
    assert done.returncode == 0, done.stderr
    assert "DataSourceVMware" in done.stdout
    assert done.stdout.split()[-3:] == ["lab-cpu-1", "0", "running"]
    published = guest.report.guestinfo["guestinfo.vdl.hostkeys"].split(";")
    own = guest.run("sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub")
    assert published
    assert all(key in own for key in published)


def test_a_guest_has_the_kernel_of_its_disk_and_the_gpus_of_its_vm(lab: BootedLab) -> None:
    with_gpu, without = lab.guests["lab-gpu-1"], lab.guests["lab-cpu-1"]
    look = (
        "uname -r; ls -d /lib/modules/$(uname -r)/build;"
        "grep -lx 0x10de /sys/bus/pci/devices/*/vendor"
    )
    seen = with_gpu.ssh(look).stdout.split()
    assert seen[0].endswith("-cloud-amd64")
    assert seen[1:] == [f"/lib/modules/{seen[0]}/build", "/sys/bus/pci/devices/0000:03:00.0/vendor"]
    assert len(without.ssh(look).stdout.split()) == 2


def test_packages_can_be_had(lab: BootedLab) -> None:
    done = lab.guests["lab-cpu-1"].ssh("sudo apt-get update -qq && apt-cache policy dkms")
    assert "Candidate" in done.stdout, done.stderr


def test_guests_reach_each_other(lab: BootedLab) -> None:
    other = lab.guests["lab-gpu-1"].machine.address
    look = f"exec 3<>/dev/tcp/{other}/22; head -n1 <&3"
    assert lab.guests["lab-cpu-1"].ssh(f"bash -c '{look}'").stdout.startswith("SSH-2.0")


def test_what_is_on_the_disk_survives_restarts_and_lost_power(tmp_path: Path) -> None:
    with booted_lab(tmp_path, "lab-cpu-1") as lab:
        guest = lab.guests["lab-cpu-1"]
        assert guest.report is not None
        keys = guest.report.guestinfo["guestinfo.vdl.hostkeys"]
        guest.run("sh", "-c", "echo here > /root/mark; echo gone > /run/mark; sync")
        first = guest.run("cat", BOOT_ID)

        guest.report = None
        lab.backend.restart("lab-cpu-1")
        guest.wait()
        assert guest.run("cat", BOOT_ID) != first
        assert guest.machine.boots == 2
        assert (
            guest.run("sh", "-c", "cat /root/mark; ls /run/mark 2>&1 || true").split()[0] == "here"
        )
        assert not guest.off

        lab.backend.stop("lab-cpu-1")
        guest.boot()
        guest.wait()
        assert guest.run("cat", "/root/mark") == "here\n"
        assert guest.report.guestinfo["guestinfo.vdl.hostkeys"] == keys


def test_a_guest_that_shuts_down_goes_off(tmp_path: Path) -> None:
    with booted_lab(tmp_path, "lab-cpu-1") as lab:
        guest = lab.guests["lab-cpu-1"]
        assert lab.backend.shut_down("lab-cpu-1")
        wait_until(lambda: guest.off, "it did not go off")
    assert not list((tmp_path / "guests").glob("*"))


WORLD = """
guests: nspawn
DC0: {clusters: {gpu: {hosts: {esx-01: {}}, vms: {lonely: {host: esx-01, power: "on"}}}}}
"""


def belonging_to(folder: Path) -> list[str]:
    """The command lines of processes that name a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if str(folder) in command:
                found.append(command)
    return found


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_no_guest_outlives_its_simulator(tmp_path: Path, end: signal.Signals) -> None:
    (tmp_path / "test.world.yaml").write_text(WORLD)
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    simulator = subprocess.Popen(
        [VDL, "simulator", "test.world.yaml"], cwd=tmp_path, env=environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(
            lambda: any("systemd-nspawn" in line for line in belonging_to(tmp_path)), "no guest"
        )
    finally:
        simulator.send_signal(end)
        simulator.wait(60)
    wait_until(lambda: not belonging_to(tmp_path), "a guest is left")
    mounts = Path("/proc/self/mounts").read_text()
    assert str(tmp_path) not in mounts
