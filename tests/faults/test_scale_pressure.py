"""Fault 25 at scale: a vCenter that takes 0.05 to 5 s for each call is not crowded."""

import threading
from collections import Counter
from pathlib import Path

import pytest

from provision.apply.events import Event, Phase
from provision.plan.model import Plan
from provision.simulator.engine.clock import RealClock
from tests.faults.apply_site import Site, assert_converged, gpus, make_lab, open_site

FASTER = 250  # so many times as fast as life
WORLD = """
guests: none
latency: {default: 0.05-5 s, CloneVM_Task: 5-50 s, ReconfigVM_Task: 5-50 s, PowerOnVM_Task: 5-50 s}
DC0:
  templates: {ubuntu-24.04: {firmware: efi, hardware: 19, memory: 4 GiB, disk: 40 GiB}}
  clusters:
    gpu:
      hosts:
        esx-[01-03]: {memory: 512 GiB, cards: {count: 2, model: A100-80}, policy: consolidation}
  datastores: {vsan: 20 TiB}
"""


class ScaledClock(RealClock):
    """Runs faster than life, and knows how many calls were being answered at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._now = 0
        self._guard = threading.Lock()

    def sleep(self, seconds: float) -> None:
        with self._guard:
            self._now += 1
            self.most = max(self.most, self._now)
        super().sleep(seconds / FASTER)
        with self._guard:
            self._now -= 1

    def call_later(self, seconds: float, action: object) -> None:
        super().call_later(seconds / FASTER, action)  # type: ignore[arg-type]


def most_per_host(events: list[Event], plan: Plan) -> int:
    """Return how many steps, waits aside, were under way on one host at the same time."""
    hosts = {action.machine: action.host for action in plan.actions}
    working: Counter[str | None] = Counter()
    most = 0
    for event in events:
        if event.step.value == "guest" or event.phase is Phase.NOTE:
            continue
        working[hosts[event.machine]] += 1 if event.phase is Phase.STARTED else -1
        most = max(most, *working.values())
    return most


@pytest.mark.parametrize(("parallel", "per_host"), [(4, 8), (16, 2)])
def test_fault_25_calls_in_flight_stay_bounded_and_nothing_is_made_twice(
    tmp_path: Path, parallel: int, per_host: int
) -> None:
    lab, clock = make_lab(shared=gpus(12), cpu={"count": 6}), ScaledClock()
    with open_site(tmp_path, WORLD, clock) as site:
        plan = site.plan(lab)
        result = site.carry_out(plan, lab, parallel=parallel, per_host=per_host)
        assert result.ok, result.error()
        sent = made(site)
        assert sent == {"CloneVM_Task": 18, "ReconfigVM_Task": 12, "PowerOnVM_Task": 18}
        # Each worker waits for its own answer, and one thread waits for everybody's tasks.
        assert 1 < clock.most <= parallel + 1
        assert 1 < most_per_host(site.events, plan) <= per_host
        assert_converged(lab, site.snapshot(lab))


def made(site: Site) -> dict[str, int]:
    return {name: site.sent(name) for name in ("CloneVM_Task", "ReconfigVM_Task", "PowerOnVM_Task")}
