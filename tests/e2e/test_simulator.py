"""`vdl simulator` as a process: how it tells that it is ready, and how it ends."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.e2e.site import WORLD, Site, settings, simulator_process
from tests.e2e.vcenter import vm_names

FIELDS = {"url", "server", "ca_file", "thumbprint", "username", "password_file"}


def test_the_ready_line_is_all_that_a_client_needs(tmp_path: Path) -> None:
    with simulator_process(tmp_path) as (_, door):
        assert set(door) == FIELDS
        site = Site(tmp_path, settings(door), door)
        assert vm_names(site) == ["stranger", "ubuntu-24.04"]
        pinned = {"VDL_CA_FILE": None, "VDL_THUMBPRINT": door["thumbprint"]}
        site.vdl("gpus", site.lab("vroom"), env=pinned).good()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_and_takes_its_files_along(tmp_path: Path, number: signal.Signals) -> None:
    with simulator_process(tmp_path) as (process, door):
        password = Path(door["password_file"])
        assert password.stat().st_mode & 0o077 == 0
        assert password.parent.stat().st_mode & 0o077 == 0
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_guests_end_with_it(tmp_path: Path) -> None:
    world = WORLD.replace("guests: none", "guests: ssh")
    with simulator_process(tmp_path, world) as (process, door):
        site = Site(tmp_path, settings(door), door)
        site.vdl("provision", site.lab("vroom", cpu={}), "--yes").good()
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert list((tmp_path / "tmp").iterdir()) == []


def test_it_serves_where_it_is_told_to(tmp_path: Path) -> None:
    with simulator_process(tmp_path, WORLD, "--listen", "127.0.0.9:0") as (_, door):
        assert door["server"].startswith("127.0.0.9:")
        site = Site(tmp_path, settings(door), door)
        site.vdl("doctor", site.lab("vroom")).good()
