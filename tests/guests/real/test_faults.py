"""Faults of guests, provoked in guests that boot: real cloud-init, apt, sudo, reboots."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provision.guests.configure import configure
from tests.guests.booted import BootedGuest, BootedLab, booted_lab, wait_until
from tests.guests.fakepayload import make_payload

pytestmark = [pytest.mark.nspawn, pytest.mark.timeout(900)]

ONE, TWO = "lab-cpu-1", "lab-cpu-2"
BASE = ("base",)
# Holds dpkg's lock as dpkg does.
HOLD = """\
import fcntl, time
lock = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
time.sleep(600)
"""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[BootedLab]:
    with booted_lab(tmp_path, ONE, TWO) as lab:
        yield lab


def shell(guest: BootedGuest, script: str) -> str:
    return guest.run("sh", "-ec", script)


def test_fault_30_a_reinstalled_sshd_is_not_the_machine_that_was_published(pair: BootedLab) -> None:
    guest = pair.guests[ONE]
    shell(guest, "rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh")
    result = configure(pair.reach(), pair.settings(tags=BASE))
    refused = result.hosts[ONE]
    assert refused.failed_task == "Stop where the SSH host key is not the expected one"
    assert result.hosts[TWO].done
    assert "Accepted" not in shell(guest, "journalctl -u ssh -o cat")


def test_fault_30_an_address_that_another_machine_has_by_now(pair: BootedLab) -> None:
    one, two = pair.guests[ONE], pair.guests[TWO]
    assert one.report is not None
    assert two.report is not None
    own, one.report = one.report, replace(one.report, addresses=two.report.addresses)
    result = configure(pair.reach(), pair.settings(tags=BASE))
    assert {name: host.done for name, host in result.hosts.items()} == {ONE: False, TWO: False}
    assert "report the same address" in (result.hosts[ONE].message or "")
    assert "Accepted" not in shell(two, "journalctl -u ssh -o cat")
    one.report = own
    assert configure(pair.reach(), pair.settings(tags=BASE)).failed == ()


def test_fault_31_sshd_comes_late(pair: BootedLab) -> None:
    shell(pair.guests[ONE], "systemctl stop ssh; systemd-run --on-active=8 systemctl start ssh")
    result = configure(pair.reach(), pair.settings(tags=BASE))
    assert result.failed == ()


def test_fault_31_cloud_init_is_waited_for_and_its_failure_shown(tmp_path: Path) -> None:
    with booted_lab(tmp_path) as lab:
        slow = lab.add(ONE, user_data={"runcmd": ["sleep 12", "touch /root/done"]})
        lab.add(TWO, user_data={"runcmd": ["echo the disk is missing >&2; exit 3"]})
        for guest in lab.guests.values():
            guest.wait()
        assert slow.machine.run(["test", "-e", "/root/done"]).returncode == 1
        result = configure(lab.reach(), lab.settings(tags=BASE))
        assert slow.machine.run(["test", "-e", "/root/done"]).returncode == 0
    assert result.hosts[ONE].done
    failed = result.hosts[TWO]
    assert failed.failed_task == "Wait for cloud-init and look for Python"
    assert "scripts-user" in (failed.message or "")


def test_fault_32_a_guest_that_reboots_in_mid_playbook_converges(
    tmp_path: Path, pair: BootedLab
) -> None:
    guest = pair.guests[ONE]
    variables = {"payload_source": str(make_payload(tmp_path / "source"))}
    settings = pair.settings(
        tags=("base", "payload"), payload_python="/usr/bin/python3", variables=variables
    )
    rebooted: list[threading.Thread] = []

    def reboot(event: Any) -> None:
        if event.task == "See what is installed" and not rebooted:
            rebooted.append(threading.Thread(target=guest.restart))
            rebooted[0].start()

    interrupted = configure(pair.reach(), settings, on_event=reboot)
    rebooted[0].join()
    again = configure(pair.reach(), settings)
    third = configure(pair.reach(), settings)
    # Whether the first run got through depends on where the reboot hit it; the outcome does not.
    assert interrupted.hosts[TWO].done
    assert interrupted.hosts[ONE].done or interrupted.hosts[ONE].message
    assert (again.failed, third.failed, third.changed) == ((), (), 0)


def test_fault_33_the_package_lock_is_held(pair: BootedLab) -> None:
    guest = pair.guests[ONE]
    shell(guest, f"systemd-run --unit=hog python3 -c '{HOLD}'")
    wait_until(
        lambda: guest.machine.run(["systemctl", "is-active", "hog"]).returncode == 0, "no hog"
    )
    variables = {"base_lock_timeout": 3}
    result = configure(pair.reach(), pair.settings(tags=BASE, variables=variables))
    failed = result.hosts[ONE]
    assert failed.failed_task == "Wait for the package manager"
    assert "python3 -c import fcntl" in (failed.message or "")
    assert "has held /var/lib/dpkg/lock-frontend for more than 3 s" in (failed.message or "")
    assert result.hosts[TWO].done
    # A lock that is let go in time delays, and nothing else.
    shell(guest, "systemd-run --on-active=5 systemctl stop hog")
    assert configure(pair.reach(), pair.settings(tags=BASE)).failed == ()


def test_fault_33_the_mirror_is_down(pair: BootedLab) -> None:
    guest = pair.guests[ONE]
    shell(guest, "sed -i 's|http://[^ /]*|http://127.0.0.1:9|' /etc/apt/sources.list")
    result = configure(pair.reach(), pair.settings(tags=BASE))
    failed = result.hosts[ONE]
    assert failed.failed_task == "Read the lists of packages"
    assert failed.message
    assert result.hosts[TWO].done


def test_fault_33_sudo_is_refused(pair: BootedLab) -> None:
    shell(pair.guests[ONE], "rm /etc/sudoers.d/90-cloud-init-users")
    result = configure(pair.reach(), pair.settings(tags=BASE))
    failed = result.hosts[ONE]
    assert not failed.done
    assert "sudo" in (failed.message or "")
    assert result.hosts[TWO].done


def test_fault_34_one_of_ten_fails_and_the_rerun_touches_only_that_one(tmp_path: Path) -> None:
    names = [f"lab-cpu-{n}" for n in range(1, 11)]
    variables = {"payload_source": str(make_payload(tmp_path / "source"))}
    with booted_lab(tmp_path, *names) as lab:
        settings = lab.settings(
            tags=("base", "payload"), payload_python="/usr/bin/python3", variables=variables
        )
        seven = lab.guests["lab-cpu-7"]
        shell(seven, "mv /etc/sudoers.d/90-cloud-init-users /root")
        first = configure(lab.reach(), settings)
        shell(seven, "mv /root/90-cloud-init-users /etc/sudoers.d")
        second = configure(lab.reach(), settings)
        third = configure(lab.reach(), settings)
    assert [host.name for host in first.failed] == ["lab-cpu-7"]
    assert "sudo" in (first.hosts["lab-cpu-7"].message or "")
    assert second.failed == ()
    assert {name for name, host in second.hosts.items() if host.changed} == {"lab-cpu-7"}
    assert (third.failed, third.changed) == ((), 0)
