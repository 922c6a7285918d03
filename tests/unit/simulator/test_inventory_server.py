"""The simulator as a whole: its door, its files, its end."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from provision.errors import UsageError
from provision.simulator.guests.backend import NoGuests, Start
from provision.simulator.server import Simulator
from tests.conftest import MakeSimulator

WORLD = """
vcenter: {users: {admin@vsphere.local: "s3cr3t"}}
DC0: {clusters: {gpu: {hosts: {esx-01: {}}, vms: {twin: {}, other: {folder: f}}}}}
DC1: {clusters: {gpu: {hosts: {esx-01: {}}, vms: {twin: {}}}}}
"""


class NotingGuests(NoGuests):
    """Guests that note their end."""

    def __init__(self) -> None:
        self.closed = 0

    def start(self, vm: Start) -> None:
        """Never come up."""

    def close(self) -> None:
        self.closed += 1


def test_the_door_tells_a_client_what_it_needs(simulator: MakeSimulator) -> None:
    made = simulator(WORLD)
    door = made.door
    assert door.url == f"https://{door.server}/sdk"
    assert door.username == "admin@vsphere.local"
    password = Path(door.password_file)
    assert password.read_text(encoding="utf-8") == "s3cr3t"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    assert stat.S_IMODE(password.parent.stat().st_mode) == 0o700
    assert Path(door.ca_file).read_text(encoding="utf-8").startswith("-----BEGIN CERTIFICATE")


def test_without_a_folder_nothing_is_left_behind() -> None:
    with Simulator.from_text(WORLD) as made:
        folder = Path(made.serve().password_file).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


def test_guests_end_with_the_simulator() -> None:
    guests = NotingGuests()
    with Simulator.from_text(WORLD, guests=guests):
        assert guests.closed == 0
    assert guests.closed == 1


@pytest.mark.parametrize("listen", ["127.0.0.1:http", "nowhere", "203.0.113.9:0"])
def test_an_address_that_makes_no_sense_is_refused(in_process: MakeSimulator, listen: str) -> None:
    with pytest.raises(UsageError, match="can't listen"):
        in_process(WORLD).serve(listen)


def test_a_taken_port_is_refused(simulator: MakeSimulator) -> None:
    made = simulator(WORLD)
    with pytest.raises(UsageError, match="can't listen"):
        made.serve(made.door.server)


def test_objects_are_found_by_a_name_that_only_one_has(in_process: MakeSimulator) -> None:
    made = in_process(WORLD)
    assert made.vm("other").path() == "/DC0/vm/f/other"
    assert made.vms() == ["other", "twin", "twin"]
    for name in ("twin", "nobody"):
        with pytest.raises(LookupError, match=name):
            made.vm(name)
    with pytest.raises(LookupError):
        made.host("esx-01")
    with pytest.raises(LookupError, match="does not serve"):
        _ = made.door


def test_a_world_that_can_not_be_made_ends_what_it_began() -> None:
    guests = NotingGuests()
    wrong = WORLD.replace("twin: {}", "twin: {disk: 99 TiB}", 1)
    with pytest.raises(Exception, match="Insufficient disk space"):
        Simulator.from_text(wrong, guests=guests)
    assert guests.closed == 1
