"""Simulated vCenters for every test that needs one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from provision.simulator.server import Simulator

MakeSimulator = Callable[..., Simulator]


def _make(world: str | dict[str, Any], **options: Any) -> Simulator:
    if isinstance(world, str):
        return Simulator.from_text(world, **options)
    return Simulator.from_data(world, **options)


@pytest.fixture
def in_process() -> Iterator[MakeSimulator]:
    """Return a function that makes a simulated vCenter without an open door.

    It takes a world file's text or its values; `stub()` of what it returns leads in.
    """
    with ExitStack() as stack:
        yield lambda world, **options: stack.enter_context(_make(world, **options))


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[MakeSimulator]:
    """Return a function that makes a simulated vCenter and serves it over HTTPS.

    It takes a world file's text or its values; `door` of what it returns leads in.
    """
    with ExitStack() as stack:

        def serve(world: str | dict[str, Any], **options: Any) -> Simulator:
            made = stack.enter_context(_make(world, folder=tmp_path / "vcenter", **options))
            made.serve()
            return made

        yield serve
