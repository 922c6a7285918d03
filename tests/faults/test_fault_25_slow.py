"""Fault 25: a vCenter whose every answer takes its time, now more, now less."""

from __future__ import annotations

from pathlib import Path

from provision.apply.events import Event, Phase
from provision.apply.pipeline import Step
from tests.faults.apply_site import WORLD, assert_converged, gpus, make_lab, open_site

LATENCY = (
    "latency: {default: 2-60 ms, CloneVM_Task: 0.02-0.6 s, PowerOnVM_Task: 0.02-0.6 s, "
    "ReconfigVM_Task: 0.02-0.6 s}"
)
PARALLEL = 3


def most_at_once(events: list[Event], step: Step) -> int:
    """Return how many machines were in a step at the same time."""
    running = most = 0
    for event in events:
        if event.step is step and event.phase is not Phase.NOTE:
            running += 1 if event.phase is Phase.STARTED else -1
            most = max(most, running)
    return most


def test_fault_25_a_slow_and_jittery_vcenter_gets_no_duplicates_and_no_crowd(
    tmp_path: Path,
) -> None:
    lab = make_lab(shared=gpus(4), cpu={"count": 4})
    slow = "\n".join(LATENCY if line.startswith("latency") else line for line in WORLD.split("\n"))
    with open_site(tmp_path, slow) as site:
        result = site.provision(lab, parallel=PARALLEL)
        assert result.ok
        assert site.sent("CloneVM_Task") == 8
        assert_converged(lab, site.snapshot(lab))
        assert 1 < most_at_once(site.events, Step.CLONE) <= PARALLEL
        assert site.provision(lab).ok
        assert site.sent("CloneVM_Task") == 8
