"""Simulated vCenters for the tests of the command line: one for all that look, fresh ones else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from provision.simulator.server import Simulator
from tests.e2e.site import WORLD, Site, served, settings
from tests.e2e.vcenter import vm_names

UNTOUCHED = ["stranger", "ubuntu-24.04"]


@pytest.fixture(scope="session")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a site whose world is two GPU hosts and a stranger's VM."""
    with served(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    """Return the shared site; insist that the test leaves vCenter as it was."""
    yield shared_site
    assert vm_names(shared_site) == UNTOUCHED


@pytest.fixture
def fresh_site(tmp_path: Path) -> Iterator[Site]:
    """Return a site of the test's own; insist that it leaves vCenter as it was."""
    with Simulator.from_text(WORLD, folder=tmp_path / "vcenter") as simulator:
        door = asdict(simulator.serve())
        site = Site(tmp_path, settings(door), door)
        yield site
        assert vm_names(site) == UNTOUCHED
