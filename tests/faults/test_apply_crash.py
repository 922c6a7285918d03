"""Processes that are killed or interrupted in mid-apply."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.apply_site import WORLD, Site, assert_converged, gpus, make_lab, open_site

# Long enough for a signal to arrive while the task runs.
SLOW = WORLD.replace("20 ms", "300 ms")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path, SLOW) as site:
        yield site


def start(command: list[str], site: Site) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        env={**os.environ, "TEST_PASSWORD": site.password},
        stdout=subprocess.PIPE,
        text=True,
    )


def read_until(child: subprocess.Popen[str], wanted: str) -> None:
    """Wait until the child says that a step of some machine has begun."""
    assert child.stdout is not None
    for line in child.stdout:
        if wanted in line:
            return
    raise AssertionError(f"the child ended before {wanted!r}")


@pytest.mark.parametrize(
    "moment", ["clone started", "clone done", "attach started", "power on started", "guest started"]
)
def test_fault_18_a_run_that_was_killed_is_finished_by_the_next(site: Site, moment: str) -> None:
    lab = make_lab(gpu=gpus(2), cpu={"count": 1})
    child = start(site.child(lab), site)
    read_until(child, moment)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    site.settle()
    result = site.provision(lab)
    assert result.ok, result.error()
    assert_converged(lab, site.snapshot(lab))


def test_fault_19_one_ctrl_c_ends_running_tasks_and_starts_no_more(site: Site) -> None:
    lab = make_lab(cpu={"count": 10})
    child = start(site.child(lab), site)
    read_until(child, "clone started")
    child.send_signal(signal.SIGINT)
    output, _ = child.communicate(timeout=30)
    assert child.returncode == 130
    mine = {vm.name for vm in site.snapshot(lab).vms if vm.lab == "vroom"}
    said = [line.split() for line in output.splitlines() if " at " in line]
    stopped = {name for name, outcome, *_ in said if outcome == "stopped"}
    assert len(said) == 10
    assert stopped == mine
    assert site.sent("PowerOnVM_Task") == 0
    assert site.provision(lab).ok
    assert_converged(lab, site.snapshot(lab))


def test_fault_19_a_second_ctrl_c_leaves_at_once_and_a_rerun_converges(tmp_path: Path) -> None:
    lab = make_lab(gpu=gpus(2))
    with open_site(tmp_path, WORLD.replace("Task: 20 ms", "Task: 3 s", 1)) as site:
        child = start(site.child(lab), site)
        read_until(child, "clone started")
        child.send_signal(signal.SIGINT)
        time.sleep(0.1)  # two signals that arrive together are one
        child.send_signal(signal.SIGINT)
        output, _ = child.communicate(timeout=30)
        assert child.returncode == 130
        assert "unknown at clone" in output
        made = [vm for vm in site.snapshot(lab).vms if vm.lab == "vroom"]
        assert not made, "it has waited for the clone"
        site.settle()
        assert site.provision(lab).ok
        assert_converged(lab, site.snapshot(lab))
