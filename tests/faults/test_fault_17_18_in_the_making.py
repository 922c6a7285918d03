"""Runs that begin while vCenter is making their machines: by nobody's hand, or by another run's."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import VDL, Site, served
from tests.e2e.vcenter import vm_names

# A clone takes longer than a busy machine needs to start vdl once more.
WORLD = """
guests: none
latency: {CloneVM_Task: 6 s}
DC0:
  templates: {ubuntu-24.04: {}}
  clusters: {gpu: {hosts: {esx-01: {cards: {count: 2, model: A100-80}}}}}
  datastores: {vsan: 20 TiB}
"""
WAITS = "vCenter is making it"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served(tmp_path, WORLD) as site:
        site.lab("lab", shared={"count": 2, "gpu": {"vgpu": "grid_a100d-10c"}})
        yield site


def provision(site: Site) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [VDL, "provision", "--yes", "--no-vcenter-checks"], cwd=site.folder, env=site.env(),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        encoding="utf-8",
    )  # fmt: skip


def until_it_clones(site: Site) -> None:
    """Wait until vCenter shows a machine by its name."""
    end = time.monotonic() + 30
    while not any(name.startswith("lab-") for name in vm_names(site)):
        assert time.monotonic() < end
        time.sleep(0.05)


def killed_in_mid_clone(site: Site) -> None:
    with provision(site) as process:
        until_it_clones(site)
        os.kill(process.pid, signal.SIGKILL)


def machines(site: Site) -> list[str]:
    return [name for name in vm_names(site) if name.startswith("lab-")]


def test_fault_18_the_next_run_waits_for_the_clones_of_one_that_was_killed(site: Site) -> None:
    killed_in_mid_clone(site)
    done = site.vdl("provision", "--yes").good()
    assert WAITS in done.err
    assert machines(site) == ["lab-shared-1", "lab-shared-2"]
    assert site.vdl("plan", "--check").good()


def test_fault_18_destroy_leaves_no_clone_behind_that_is_under_way(site: Site) -> None:
    killed_in_mid_clone(site)
    assert WAITS in site.vdl("destroy", "--yes").good().err
    assert machines(site) == []


def test_fault_18_plan_does_not_wait_and_says_why(site: Site) -> None:
    killed_in_mid_clone(site)
    done = site.vdl("plan")
    assert (done.code, "is being made right now" in done.out) == (3, True)


def test_fault_17_a_second_run_while_the_first_clones_makes_no_second_vm(site: Site) -> None:
    with provision(site) as first:
        until_it_clones(site)
        with provision(site) as second:
            said = second.communicate(timeout=120)[1]
        assert first.communicate(timeout=120) is not None
    assert WAITS in said
    # The second finds unfinished machines and finishes them beside the first, or is told that
    # the world has changed since it looked.
    assert (first.returncode, second.returncode) in {(0, 0), (0, 6)}, said
    assert machines(site) == ["lab-shared-1", "lab-shared-2"]
    assert site.vdl("plan", "--check").good()
