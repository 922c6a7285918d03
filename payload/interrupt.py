"""SIGINT and SIGTERM as a request that the loop sees between two windows."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from payload.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Remembers the first signal that arrived.

    Args:
        bell: A file where the number of each signal arrives as a byte, at once; `None` for none.
            Python runs its own handlers in the main thread, and only when that comes back from a
            step.
    """

    def __init__(self, bell: int | None = None) -> None:
        self.signal: signal.Signals | None = None
        self.bell = bell

    def heard(self, seconds: float) -> signal.Signals | None:
        """Wait so long for a signal, in a thread beside the main one; return it, if any came."""
        if self.bell is None:
            time.sleep(seconds)
        elif select.select([self.bell], [], [], seconds)[0]:
            return signal.Signals(os.read(self.bell, 1)[0])
        return None

    def check(self) -> None:
        """Raise `Interrupted` if a signal has arrived."""
        if self.signal is not None:
            raise Interrupted(f"stopped by {self.signal.name}")


@contextmanager
def stop_requests(*, repeatable: bool = False) -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a request; a second one has its usual effect.

    A training step runs outside Python and can't be stopped in the middle, so the request is
    honoured when the step ends.

    Args:
        repeatable: Whether a second one is another request and no more. A terminal sends a signal
            to a child as to its parent, and the parent passes it on; but the child dies with the
            parent, on which a second one has its effect.
    """
    bell, rope = os.pipe()
    os.set_blocking(rope, False)  # as `set_wakeup_fd` wants it
    request = StopRequest(bell)
    previous: dict[signal.Signals, Callable[[int, FrameType | None], Any] | int | None] = {}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(number: int, _frame: FrameType | None) -> None:
        request.signal = signal.Signals(number)
        if not repeatable:
            restore()

    before = signal.set_wakeup_fd(rope, warn_on_full_buffer=False)
    previous.update({number: signal.signal(number, handle) for number in SIGNALS})
    try:
        yield request
    finally:
        restore()
        signal.set_wakeup_fd(before)
        os.close(rope)
        os.close(bell)
