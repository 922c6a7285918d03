"""Fault 29 on guests that boot: one loses its network before its VMware Tools look at it."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from provision.apply.deadlines import Deadlines
from provision.apply.pipeline import Step
from provision.apply.result import Outcome
from provision.errors import UsageError
from provision.plan.snapshot import Power
from provision.simulator.guests.nspawn import NspawnGuests
from tests.faults.apply_site import WORLD, Site, make_lab, open_site

pytestmark = [pytest.mark.nspawn, pytest.mark.timeout(600)]

LAB = make_lab(cpu={"count": 2})
LINK_LOCAL = "169.254.29.1"


def never_answered_by_dhcp(site: Site, guests: NspawnGuests, name: str) -> None:
    """Leave a machine what it has without DHCP, from the moment in which it is switched on."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(LookupError, UsageError):
            namespace = guests.machine(site.simulator.vm(name).moid).link.namespace
            for words in ("flush", "dev", "host0"), ("add", f"{LINK_LOCAL}/16", "dev", "host0"):
                command = ["nsenter", f"--net={namespace}", "ip", "address", *words]
                subprocess.run(command, check=True)
            return
        time.sleep(0.02)
    pytest.fail(f"{name} was not switched on")


def test_fault_29_a_guest_that_gets_no_address_fails_and_is_kept_and_the_other_is_done(
    tmp_path: Path,
) -> None:
    guests = NspawnGuests(tmp_path / "guests")
    world = WORLD.replace("guests: none\n", "")
    with open_site(tmp_path, world, guests=guests) as site, ThreadPoolExecutor() as others:
        cut = others.submit(never_answered_by_dhcp, site, guests, "vroom-cpu-2")
        result = site.provision(LAB, deadlines=Deadlines(guest=90.0))
        cut.result()
        one, two = sorted(result.machines, key=lambda found: found.machine)
        assert one.outcome is Outcome.DONE
        assert (two.outcome, two.step) == (Outcome.FAILED, Step.GUEST)
        assert two.error is not None
        assert f"none of its addresses leads to it: {LINK_LOCAL}" in two.error.text()
        kept = [vm for vm in site.snapshot(LAB).vms if vm.lab == LAB.lab]
        assert [vm.power for vm in kept] == [Power.ON, Power.ON]
        assert site.sent("Destroy_Task") == 0
