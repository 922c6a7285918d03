"""Ends the process where its main thread can't: it is stuck in a step, and somebody waits.

A step runs outside Python and can't be stopped in the middle. Where it hangs (a GPU that no longer
answers, a worker that is gone), a request to stop would never be seen. So a thread of its own
gives the main thread a moment to end by itself, then has what was measured so far written, and
ends the process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from payload.interrupt import StopRequest

POLL_SECONDS = 0.2
GRACE_SECONDS = 5.0


@contextmanager
def guarded(stop: StopRequest, give_up: Callable[[str], None]) -> Iterator[Guard]:
    """Let a guard stand beside the block."""
    guard = Guard(stop, give_up)
    guard.start()
    try:
        yield guard
    finally:
        guard.end()


class Guard:
    """Stands beside a run.

    Args:
        stop: A signal that arrives there must have an end of the run as its consequence.
        give_up: Writes the document; gets the reason why the run is given up.
    """

    def __init__(self, stop: StopRequest, give_up: Callable[[str], None]) -> None:
        self._stop, self._give_up = stop, give_up
        self._over = threading.Event()
        self._doom = ""
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def doom(self, reason: str) -> None:
        """Say, from any thread, that the run has no future; `reason` begins with a code."""
        self._doom = reason

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def end(self) -> None:
        """The main thread has come to the end by itself."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.is_set():
            heard = self._stop.heard(POLL_SECONDS)
            if heard is not None:
                self.doom(f"interrupted: stopped by {heard.name} in a step that did not end")
            if self._doom:
                if not self._over.wait(GRACE_SECONDS):
                    self._give_up(self._doom)
                    os._exit(1)
                return
