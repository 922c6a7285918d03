"""kill -9 at every call that changes something, in the life of a lab of five machines."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision.plan.snapshot import Snapshot, Vm
from tests.faults.apply_kill import (
    Killer,
    Moment,
    destroy_lab,
    mutating_calls,
    provision_lab,
    run_killed,
)
from tests.faults.apply_site import Site, assert_converged, gpus, make_lab, open_site

# Old templates, cards of both kinds, bigger disks: every step of the pipeline has work to do.
WORLD = """
guests: none
latency: {CloneVM_Task: 30 ms, UpgradeVM_Task: 30 ms, ReconfigVM_Task: 30 ms,
          PowerOnVM_Task: 30 ms, RelocateVM_Task: 30 ms, PowerOffVM_Task: 30 ms,
          Destroy_Task: 30 ms}
DC0:
  templates: {ubuntu-24.04: {firmware: efi, hardware: 16, memory: 4 GiB, disk: 20 GiB}}
  clusters:
    gpu:
      hosts:
        esx-01: {memory: 512 GiB, cards: {count: 2, model: A100-80}, policy: consolidation}
        esx-02: {memory: 512 GiB, cards: {count: 2, model: A100-80, mode: passthrough}}
      vms:
        stranger: {host: esx-01, memory: 8 GiB, power: "on", gpu: {vgpu: grid_a100d-20c}}
        vroom-cpu-3: {host: esx-02, memory: 8 GiB}
  datastores: {vsan: 20 TiB}
"""
PLAIN = make_lab(
    whole={"count": 1, "host": "esx-02"},
    shared={"count": 2, "host": "esx-01"},
    cpu={"count": 2, "host": "esx-01"},
)
LAB = make_lab(
    whole={"count": 1, "gpu": {"passthrough": "esx-02/0000:3b:00.0"}},
    shared=gpus(2),
    cpu={"count": 2},
)
CHANGED = make_lab(
    whole={"count": 1, "host": "esx-02", "gpu": {"passthrough": "A100-80"}},
    shared={"host": "esx-01", **gpus(2)},
    cpu={"count": 2, "cpus": 4, "host": "esx-02"},
)
BUILD = {"CreateFolder": 1, "CloneVM_Task": 5, "ReconfigVM_Task": 5, "PowerOnVM_Task": 5}
CHANGE = {
    "ShutdownGuest": 5,
    "RelocateVM_Task": 2,
    "UpgradeVM_Task": 1,
    "ReconfigVM_Task": 5,
    "PowerOnVM_Task": 5,
}
REMOVAL = {"ShutdownGuest": 5, "Destroy_Task": 5}


def points(calls: dict[str, int]) -> list[Any]:
    """Return every kill point; those that are no method's first are left to `make faults`."""
    return [
        pytest.param(method, nth, marks=() if nth == 1 else pytest.mark.sweep)
        for method, count in calls.items()
        for nth in range(1, count + 1)
    ]


BOTH = [pytest.param(Moment.BEFORE, marks=pytest.mark.sweep), Moment.DURING]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path, WORLD) as site:
        yield site


def strangers(snapshot: Snapshot) -> dict[str, Vm]:
    return {vm.id: vm for vm in snapshot.vms if vm.lab is None}


def test_the_kill_points_are_all_calls_that_change_something(site: Site) -> None:
    assert site.provision(LAB).ok
    built = mutating_calls(site)
    assert built == Counter(BUILD)
    assert site.destroy(LAB).ok
    assert mutating_calls(site) - built == Counter(REMOVAL)


def test_the_kill_points_of_a_change_are_all_calls_that_change_something(site: Site) -> None:
    assert site.provision(PLAIN).ok
    built = mutating_calls(site)
    assert site.provision(CHANGED).ok
    assert mutating_calls(site) - built == Counter(CHANGE)


@pytest.mark.parametrize("moment", BOTH)
@pytest.mark.parametrize(("method", "nth"), points(BUILD))
def test_fault_18_a_run_killed_at_any_call_is_finished_by_the_next(
    site: Site, method: str, nth: int, moment: Moment
) -> None:
    before = strangers(site.snapshot(LAB))
    run_killed(site, provision_lab, LAB, Killer(method, nth, moment))
    site.settle()
    result = site.provision(LAB)
    assert result.ok, result.error()
    after = site.snapshot(LAB)
    assert_converged(LAB, after)
    assert strangers(after) == before


@pytest.mark.parametrize("moment", BOTH)
@pytest.mark.parametrize(("method", "nth"), points(CHANGE))
def test_fault_18_a_change_killed_at_any_call_is_finished_by_the_next(
    site: Site, method: str, nth: int, moment: Moment
) -> None:
    assert site.provision(PLAIN).ok
    before = site.snapshot(PLAIN)
    run_killed(site, provision_lab, CHANGED, Killer(method, nth, moment))
    site.settle()
    result = site.provision(CHANGED)
    assert result.ok, result.error()
    after = site.snapshot(CHANGED)
    assert_converged(CHANGED, after)
    assert {vm.id for vm in after.vms} == {vm.id for vm in before.vms}
    assert strangers(after) == strangers(before)


@pytest.mark.parametrize("moment", BOTH)
@pytest.mark.parametrize(("method", "nth"), points(REMOVAL))
def test_fault_18_a_destroy_killed_at_any_call_is_finished_by_the_next(
    site: Site, method: str, nth: int, moment: Moment
) -> None:
    before = strangers(site.snapshot(LAB))
    assert site.provision(LAB).ok
    run_killed(site, destroy_lab, LAB, Killer(method, nth, moment))
    site.settle()
    site.destroy(LAB)
    after = site.snapshot(LAB)
    assert {vm.id: vm for vm in after.vms} == before


def test_fault_18_a_lab_that_is_killed_again_and_again_still_converges(site: Site) -> None:
    """Each run gets a little further than the one before."""
    for method in ("CreateFolder", "CloneVM_Task", "ReconfigVM_Task", "PowerOnVM_Task"):
        for moment in (Moment.BEFORE, Moment.DURING):
            run_killed(site, provision_lab, LAB, Killer(method, 1, moment))
            site.settle()
    assert site.provision(LAB).ok
    assert_converged(LAB, site.snapshot(LAB))
