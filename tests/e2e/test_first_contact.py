"""`vdl configure` with machines whose template can't publish SSH host keys."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from provision.cli.hostkeywait import PATIENCE_BEFORE_ASKING_SECONDS, PATIENCE_SECONDS
from provision.guests.firstuse import fingerprints
from provision.guests.hostkeys import GUESTINFO_KEYS
from provision.simulator.inventory.vm import VirtualMachine
from provision.simulator.server import Simulator
from tests.e2e.site import WORLD, Done, Site, settings

MUTE = "mute-cpu-1"
QUICK = ("configure", "mute.yaml", "--tags", "base", "-o", "json")
ACCEPT = "--accept-new-host-keys"
LONG = PATIENCE_SECONDS + 1
HINT = f"if your template can't publish any, use {ACCEPT}"


@dataclass
class Mute:
    """A site with one machine, whose guest answers SSH and publishes no host key."""

    site: Site
    simulator: Simulator
    key: str = ""

    @property
    def vm(self) -> VirtualMachine:
        return self.simulator.vm(MUTE)

    def hush(self, seconds: float) -> None:
        """Take what the guest has published away; it has been on for so many seconds."""
        with self.simulator.world.lock:
            self.key = self.vm.guest.published.pop(GUESTINFO_KEYS)
            self.vm.boot_time = self.simulator.world.clock.now() - timedelta(seconds=seconds)

    def change_key(self) -> None:
        """Let the guest boot again with another host key, and publish none again."""
        before = self.key
        with self.simulator.world.lock:
            self.vm.guest.end()
            (old,) = self.site.folder.rglob(f"{self.vm.moid}/ssh_host_ed25519_key")
            old.unlink()
            self.vm.guest.boot(self.vm.lose_power)
        end = time.monotonic() + 30
        while GUESTINFO_KEYS not in self.vm.guest.published and time.monotonic() < end:
            time.sleep(0.05)
        self.hush(LONG)
        assert self.key != before

    def configure(self, *words: str) -> Done:
        return self.site.vdl(*QUICK, *words)


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[Mute]:
    world = WORLD.replace("guests: none", "guests: ssh")
    with Simulator.from_text(world, folder=tmp_path / "vcenter") as simulator:
        site = Site(tmp_path, settings(asdict(simulator.serve())))
        site.vdl("provision", site.lab("mute", cpu={}), "--yes").good()
        yield Mute(site, simulator)


def only(done: Done) -> Any:
    (machine,) = done.json["machines"]
    return machine


def test_a_machine_that_has_long_been_on_without_a_key_is_not_waited_for(mute: Mute) -> None:
    mute.hush(LONG)
    began = time.monotonic()
    done = mute.configure()
    assert time.monotonic() - began < PATIENCE_BEFORE_ASKING_SECONDS / 2
    assert done.code == 1
    assert "waiting for" not in done.err
    assert only(done)["unreachable"]
    assert ACCEPT in only(done)["message"]


def test_a_machine_gets_the_rest_of_its_time_and_a_person_the_way_out(mute: Mute) -> None:
    mute.hush(PATIENCE_SECONDS - 4)
    done = mute.configure()
    assert f"waiting for the SSH host keys of {MUTE}, up to " in done.err
    assert HINT in done.err
    assert only(done)["unreachable"]


def test_fault_30_a_key_is_accepted_once_and_another_one_refused_ever_after(mute: Mute) -> None:
    mute.hush(PATIENCE_BEFORE_ASKING_SECONDS + 1)
    first = mute.configure(ACCEPT).good()
    assert f"{MUTE} publishes no host key; trusted from now on: " in first.err
    (shown,) = fingerprints([" ".join(mute.key.split()[:2])])
    assert shown in first.err
    assert only(first)["done"]

    later = mute.configure().good()
    assert "trusted" not in later.err + later.out
    assert "waiting" not in later.err

    mute.change_key()
    for words in ((), (ACCEPT,)):
        refused = mute.configure(*words)
        assert refused.code == 1
        assert "trusted" not in refused.err
        assert "The SSH host key is not the expected one" in only(refused)["message"]
