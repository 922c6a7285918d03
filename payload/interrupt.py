"""SIGINT and SIGTERM as a request that the loop sees between two windows."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from payload.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Remembers the first signal that arrived."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def check(self) -> None:
        """Raise `Interrupted` if a signal has arrived."""
        if self.signal is not None:
            raise Interrupted(f"stopped by {self.signal.name}")


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a request; a second one has its usual effect.

    A training step runs outside Python and can't be stopped in the middle, so the request is
    honoured when the step ends.
    """
    request = StopRequest()
    previous: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(number: int, _frame: FrameType | None) -> None:
        request.signal = signal.Signals(number)
        restore()

    previous.update({number: signal.signal(number, handle) for number in SIGNALS})
    try:
        yield request
    finally:
        restore()
