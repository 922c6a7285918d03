"""Stopping half-way: the first request lets running tasks end, the second leaves at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StopRequest:
    """Counts how often the user asked to stop, and wakes whoever listens.

    `request` may be called from a signal handler, so it takes no lock; listeners must not
    take one either.
    """

    def __init__(self) -> None:
        self._requests = 0
        self._listeners: tuple[Callable[[], None], ...] = ()

    @property
    def asked(self) -> bool:
        """Whether no new task may start."""
        return self._requests > 0

    @property
    def at_once(self) -> bool:
        """Whether running tasks are no longer waited for."""
        return self._requests > 1

    def request(self) -> None:
        """Ask to stop; ask again to stop without waiting."""
        self._requests += 1
        for listener in self._listeners:
            listener()

    @contextmanager
    def listening(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call `listener` at each request while the block runs."""
        self._listeners = (*self._listeners, listener)
        try:
            yield
        finally:
            self._listeners = tuple(one for one in self._listeners if one is not listener)


@contextmanager
def stop_on_signals(
    stop: StopRequest, signals: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM)
) -> Iterator[StopRequest]:
    """Turn signals into stop requests while the block runs; the main thread's privilege.

    Raises:
        ValueError: Called outside the main thread.
    """
    before = {number: signal.signal(number, lambda *_: stop.request()) for number in signals}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
