"""Two administrators, one lab."""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.apply.events import Event, Phase
from provision.apply.pipeline import Step
from provision.apply.result import Outcome, Result
from provision.errors import StalePlan
from provision.spec.model import Lab
from tests.faults.apply_site import WORLD, Site, assert_converged, gpus, make_lab, open_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path) as site:
        yield site


def test_fault_17_two_applies_of_the_same_plan_at_once_make_each_vm_once(site: Site) -> None:
    """Both have looked before either has begun: nothing but the names keeps them apart."""
    lab = make_lab(gpu=gpus(3), cpu={"count": 3})
    plan = site.plan(lab)
    start, results = threading.Barrier(2), []

    def administrator() -> None:
        def replan(*_: object) -> object:
            start.wait(10)  # both have read the world; now both believe that it is fresh
            return plan

        results.append(site.carry_out(plan, lab, replan=replan))

    threads = [threading.Thread(target=administrator) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcomes = [machine.outcome for result in results for machine in result.machines]
    assert outcomes == [Outcome.DONE] * 12
    notes = [m.note for result in results for m in result.machines if m.note]
    assert len(notes) == 6
    assert all("another run" in note for note in notes)
    assert_converged(lab, site.snapshot(lab))


@pytest.mark.parametrize("moment", [Step.PREPARE_HARDWARE, Step.ATTACH, Step.POWER_ON])
def test_fault_17_a_run_that_meets_another_in_mid_machine_adds_no_second_gpu(
    tmp_path: Path, moment: Step
) -> None:
    """The second run finds an unfinished VM and can't know that the first is still at work."""
    lab, results = make_lab(gpu=gpus(1)), []
    with open_site(tmp_path, WORLD.replace("20 ms", "300 ms")) as site:
        second = threading.Thread(target=lambda: results.append(_until_fresh(site, lab)))

        def start_the_second(event: Event) -> None:
            if (event.step, event.phase) == (moment, Phase.STARTED):
                second.start()

        results.append(site.provision(lab, on_event=start_the_second))
        second.join()
        assert [result.error() for result in results] == [None, None]
        assert_converged(lab, site.snapshot(lab))


def _until_fresh(site: Site, lab: Lab) -> Result:
    """Provision; once more where the other run has changed the world since it was looked at."""
    while True:
        try:
            return site.provision(lab)
        except StalePlan:
            continue


def test_fault_17_two_processes_at_once_make_each_vm_once(site: Site) -> None:
    lab = make_lab(gpu=gpus(2), cpu={"count": 2})
    command, environment = site.child(lab), {**os.environ, "TEST_PASSWORD": site.password}
    children = [
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    answers = [child.communicate(timeout=60) for child in children]
    # The slower one may have come when the faster one was at work: then its plan is stale.
    for child, (_, errors) in zip(children, answers, strict=True):
        assert child.returncode == 0 or "StalePlan" in errors
    assert 0 in {child.returncode for child in children}
    assert_converged(lab, site.snapshot(lab))
