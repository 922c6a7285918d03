from __future__ import annotations

from collections.abc import Iterator

import pytest

from provision.apply.deadlines import Deadlines
from provision.vsphere.port import ActionFailed, OutcomeUnknown
from tests.unit.apply.site import LAB, Barrier, Hold, Site


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def barrier(site: Site) -> Iterator[Hold]:
    """Hold the call of a method for a machine; whatever is still held ends with the test."""

    def hold(method: str, machine: str) -> Barrier:
        return site.vcenter.hold.setdefault((method, f"{LAB}-{machine}"), Barrier())

    yield hold
    for one in site.vcenter.hold.values():
        one.go.set()


@pytest.fixture
def short() -> Deadlines:
    return Deadlines(**dict.fromkeys(Deadlines.__dataclass_fields__, 0.2))


@pytest.fixture
def refused() -> ActionFailed:
    return ActionFailed("the task failed", why="no such device", fix="look at the host")


@pytest.fixture
def unknown() -> OutcomeUnknown:
    return OutcomeUnknown("no answer", why="connection reset")
