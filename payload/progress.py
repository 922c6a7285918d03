"""Progress on standard error: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

LIVE_SECONDS = 0.2
PLAIN_SECONDS = 5.0


class Progress:
    """Says what a run is doing.

    Args:
        stream: Where to; a line is rewritten in place if it is a terminal.
        clock: Monotonic seconds.
        batch_size: Images per step.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float], batch_size: int) -> None:
        self._stream, self._clock, self._batch_size = stream, clock, batch_size
        self._live = stream.isatty()
        self._phase = ""
        self._next = 0.0

    def say(self, text: str) -> None:
        """Print one line that stays."""
        self._stream.write(f"\r\x1b[K{text}\n" if self._live else f"{text}\n")
        self._stream.flush()

    def step(self, phase: str, seconds: float) -> None:
        """Show the speed of a step, at once in a new phase and seldom otherwise."""
        now = self._clock()
        if phase == self._phase and now < self._next:
            return
        self._phase = phase
        self._next = now + (LIVE_SECONDS if self._live else PLAIN_SECONDS)
        text = f"{phase}: {self._batch_size / seconds:.1f} images/s, {seconds * 1e3:.2f} ms a step"
        if self._live:
            self._stream.write(f"\r\x1b[K{text}")
            self._stream.flush()
        else:
            self.say(text)
