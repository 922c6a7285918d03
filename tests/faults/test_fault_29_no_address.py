"""Fault 29: a guest that no address leads to fails at its deadline, and is kept for a look."""

from __future__ import annotations

from pathlib import Path

import pytest

from provision.apply.deadlines import Deadlines
from provision.apply.pipeline import Step
from provision.apply.result import Outcome
from provision.plan.snapshot import Power
from tests.faults.apply_site import PROFILE, WORLD, gpus, make_lab, open_site

LAB = make_lab(shared=gpus(1))


@pytest.mark.parametrize(
    ("addresses", "said"),
    [
        ("[]", "it has no address"),
        ("[169.254.1.1, 'fe80::1']", "none of its addresses leads to it: 169.254.1.1, fe80::1"),
    ],
)
def test_fault_29_a_guest_that_cannot_be_reached_fails_and_stays(
    tmp_path: Path, addresses: str, said: str
) -> None:
    world = WORLD.replace("disk: 40 GiB", f"disk: 40 GiB, addresses: {addresses}")
    with open_site(tmp_path, world) as site:
        result = site.provision(LAB, deadlines=Deadlines(guest=0.3))
        (machine,) = result.machines
        assert (machine.outcome, machine.step) == (Outcome.FAILED, Step.GUEST)
        assert machine.error is not None
        assert said in machine.error.text()
        (vm,) = (vm for vm in site.snapshot(LAB).vms if vm.lab == LAB.lab)
        assert vm.power is Power.ON
        assert [gpu.value for gpu in vm.gpus] == [PROFILE]
        assert site.sent("Destroy_Task") == 0
