"""A small world behind each of the doors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from provision.simulator.engine.clock import Clock, ManualClock
from provision.simulator.engine.faultplan import FaultPlan
from provision.simulator.engine.latency import Latency
from provision.simulator.engine.world import Settings, World
from provision.simulator.server import Simulator
from tests.conftest import MakeSimulator
from tests.unit.simulator.administrator import Administrator
from tests.unit.simulator.small_world import USERS, Lab, MakeLab


@pytest.fixture(params=["in-process", "https"])
def make_lab(request: pytest.FixtureRequest) -> Iterator[MakeLab]:
    """Return a function that makes a world behind one of the doors."""
    with ExitStack() as stack:

        def make(
            *,
            latency: dict[str, object] | None = None,
            faults: list[dict[str, object]] | None = None,
            clock: Clock | None = None,
            **settings: Any,
        ) -> Lab:
            world = World(
                Settings(users=USERS, **settings),
                clock=clock,
                latency=Latency.parse(latency or {}),
                faults=FaultPlan(faults or []),
            )
            return Lab(request.param, stack, world)

        yield make


@pytest.fixture
def clock() -> ManualClock:
    """Return a time that stands still until the test lets it go on."""
    return ManualClock()


@pytest.fixture
def simulator_(
    request: pytest.FixtureRequest, in_process: MakeSimulator, clock: ManualClock
) -> Simulator:
    """Return a simulator of the module's `WORLD` with that time."""
    return in_process(request.module.WORLD, clock=clock)


@pytest.fixture
def admin(simulator_: Simulator) -> Administrator:
    """Return somebody who may do everything there."""
    return Administrator(simulator_)


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    """Return a world without latencies and faults."""
    return make_lab()
