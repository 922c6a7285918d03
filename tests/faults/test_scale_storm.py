"""Many machines on a vCenter where something goes wrong all the time."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provision.apply.result import Result
from provision.spec.model import Lab
from tests.faults.apply_site import Site, assert_converged, gpus, make_lab, open_site

HOSTS = 8
WORLD = f"""
guests: none
latency: {{CloneVM_Task: CLONE, ReconfigVM_Task: 20 ms, PowerOnVM_Task: 20 ms,
           Destroy_Task: 20 ms}}
DC0:
  templates: {{ubuntu-24.04: {{firmware: efi, hardware: 19, memory: 4 GiB, disk: 40 GiB}}}}
  clusters:
    gpu:
      hosts:
        esx-[01-{HOSTS:02}]: {{memory: 2 TiB, cards: {{count: 8, model: A100-80}}}}
      vms:
        stranger-[1-{HOSTS}]: {{memory: 8 GiB, power: "on", gpu: {{vgpu: grid_a100d-20c}}}}
  datastores: {{vsan: 100 TiB}}
"""
TASKS = ("CloneVM_Task", "ReconfigVM_Task", "PowerOnVM_Task", "Destroy_Task")
CALLS = (*TASKS, "FindAllByUuid", "RetrievePropertiesEx", "WaitForUpdatesEx", "ModifyListView")
TASK_FAILS, ANSWER_LOST, RUNS = 0.05, 0.01, 3


def storm(site: Site, seed: int) -> None:
    """Let 5 % of all tasks fail and 1 % of all answers get lost from now on."""
    for number, method in enumerate(CALLS):
        dice = {"on": method, "seed": seed + number}
        if method in TASKS:
            site.break_(rate=TASK_FAILS, fault="SystemError", **dice)
        site.break_(rate=ANSWER_LOST, lose="response", **{**dice, "seed": seed + 100 + number})


@contextmanager
def sessions_lost_every(seconds: float, site: Site) -> Iterator[None]:
    """End all sessions again and again while the block runs."""
    over = threading.Event()

    def end_them() -> None:
        while not over.wait(seconds):
            site.simulator.terminate_sessions()

    thread = threading.Thread(target=end_them)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def runs_until_it_stands(site: Site, lab: Lab) -> list[Result]:
    results: list[Result] = []
    while len(results) < RUNS and not (results and results[-1].ok):
        results.append(site.provision(lab, parallel=16, pause=0.2))
    return results


def assert_nothing_is_orphaned(site: Site, lab: Lab) -> None:
    """vCenter holds each machine once, the strangers and the template, and nothing else."""
    wanted = {machine.name for machine in lab.resolve()}
    others = {"ubuntu-24.04", *(f"stranger-{n}" for n in range(1, HOSTS + 1))}
    assert Counter(site.simulator.vms()) == Counter(wanted | others)


@pytest.mark.parametrize(
    ("machines", "clone", "loss_seconds", "seed"),
    [
        pytest.param(24, "20-200 ms", 1.0, 1),
        pytest.param(200, "20-200 ms", 1.0, 2, marks=pytest.mark.sweep),
        pytest.param(200, "1-4 s", 20.0, 3, marks=pytest.mark.sweep),
    ],
)
def test_a_lab_stands_after_three_runs_through_a_storm(
    tmp_path: Path, machines: int, clone: str, loss_seconds: float, seed: int
) -> None:
    lab = make_lab(shared=gpus(machines * 3 // 4), cpu={"count": machines // 4})
    with open_site(tmp_path, WORLD.replace("CLONE", clone)) as site:
        storm(site, seed)
        with sessions_lost_every(loss_seconds, site):
            results = runs_until_it_stands(site, lab)
        assert results[-1].ok, results[-1].error()
        assert site.sent("Login") > 2 * len(results), "no session was lost"
        assert_converged(lab, site.snapshot(lab))
        assert_nothing_is_orphaned(site, lab)
