"""Progress on standard error: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:  # it imports NumPy, which usage errors do not wait for
    from payload.loop import Moment

LIVE_SECONDS = 0.2
PLAIN_SECONDS = 5.0
BAR_WIDTH = 24


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

    def show(self, moment: Moment) -> None:
        """Show what the run is doing, at once in a new phase and seldom otherwise."""
        now = self._clock()
        if moment.phase == self._phase and now < self._next:
            return
        self._phase = moment.phase
        self._next = now + (LIVE_SECONDS if self._live else PLAIN_SECONDS)
        if self._live:
            self._stream.write(f"\r\x1b[K{self._bar(moment)}")
            self._stream.flush()
        else:
            self.say(
                f"{moment.phase}: {self._speed(moment)}" if moment.step_seconds else moment.phase
            )

    def _speed(self, moment: Moment) -> str:
        if not moment.step_seconds:
            return ""
        speed, step = self._batch_size / moment.step_seconds, moment.step_seconds * 1e3
        return f"{speed:.1f} images/s, {step:.2f} ms a step"

    def _bar(self, moment: Moment) -> str:
        """Return one line: phase, bar, per cent, speed, and the time that is left at most."""
        parts = [f"{moment.phase:10}"]
        if moment.done is not None:
            done = min(1.0, max(0.0, moment.done))
            filled = round(BAR_WIDTH * done)
            parts.append(f"[{'#' * filled}{'-' * (BAR_WIDTH - filled)}] {done:4.0%}")
        parts.append(self._speed(moment))
        if moment.left_seconds is not None:
            parts.append(f"at most {max(0.0, moment.left_seconds):.0f} s left")
        return "  ".join(part for part in parts if part)
