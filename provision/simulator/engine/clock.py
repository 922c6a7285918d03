"""Time of the simulated world: the real monotonic clock, or one that a test moves by hand."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

Action = Callable[[], None]


class Clock(Protocol):
    """What the world asks of time. All durations are seconds."""

    def monotonic(self) -> float:
        """Return a time that only grows."""

    def now(self) -> datetime:
        """Return the date and time, with its zone."""

    def sleep(self, seconds: float) -> None:
        """Return when `seconds` have passed. The caller holds no lock."""

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait for a notification for at most `seconds`; the caller holds the condition."""

    def call_later(self, seconds: float, action: Action) -> None:
        """Run `action` in another thread when `seconds` have passed."""

    def close(self) -> None:
        """Forget all actions that are still to come."""


class RealClock:
    """The machine's clock. One daemon thread runs the actions, one after the other."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Action]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def monotonic(self) -> float:
        """Return the monotonic clock of the machine."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the wall clock in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait on the condition."""
        condition.wait(seconds)

    def call_later(self, seconds: float, action: Action) -> None:
        """Run `action` in the clock's thread when `seconds` have passed."""
        with self._changed:
            if self._closed:
                return
            heapq.heappush(self._due, (self.monotonic() + seconds, next(self._order), action))
            self._ensure_thread()
            self._changed.notify()

    def close(self) -> None:
        """Forget all actions, and those still asked for; the clock's thread ends."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify()

    def _ensure_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="world-clock", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            while (action := self._next()) is not None:
                action()
        finally:
            # An action that raised has ended this thread; those after it are still owed.
            with self._changed:
                if self._thread is threading.current_thread():
                    self._thread = None
                    if self._due:
                        self._ensure_thread()

    def _next(self) -> Action | None:
        with self._changed:
            while self._due:
                left = self._due[0][0] - self.monotonic()
                if left <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(left)
            self._thread = None
            return None


class ManualClock:
    """A clock that stands still until `advance` is called.

    Args:
        jumps: A sleeper or waiter moves the clock itself, to the next action or to the end of
            its wait. Meant for tests with one thread: they then take no time at all.
    """

    def __init__(self, *, jumps: bool = False) -> None:
        self._jumps = jumps
        self._time = 0.0
        self._due: list[tuple[float, int, Action]] = []
        self._order = itertools.count()
        self._moved = threading.Condition(threading.RLock())

    def monotonic(self) -> float:
        """Return the seconds that the clock was advanced."""
        return self._time

    def now(self) -> datetime:
        """Return the start of 2026 plus the seconds that the clock was advanced."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._time)

    def sleep(self, seconds: float) -> None:
        """Wait until the clock was advanced by `seconds`."""
        if self._jumps:
            self.advance(seconds)
            return
        until = self._time + seconds
        with self._moved:
            self._moved.wait_for(lambda: self._time >= until)

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait for a notification or for the clock to pass `seconds`."""
        if self._jumps:
            self._jump(seconds)
            return

        def wake() -> None:
            with condition:
                condition.notify_all()

        if seconds is not None:
            self.call_later(seconds, wake)
        condition.wait()

    def call_later(self, seconds: float, action: Action) -> None:
        """Run `action` when `advance` reaches its time, in the thread that advances."""
        with self._moved:
            heapq.heappush(self._due, (self._time + seconds, next(self._order), action))

    def advance(self, seconds: float) -> None:
        """Move the clock and run, in order, what becomes due."""
        until = self._time + seconds
        while (action := self._pop(until)) is not None:
            action()
        with self._moved:
            self._time = max(self._time, until)
            self._moved.notify_all()

    def close(self) -> None:
        """Forget all actions."""
        with self._moved:
            self._due.clear()

    def _pop(self, until: float) -> Action | None:
        with self._moved:
            if not self._due or self._due[0][0] > until:
                return None
            at, _, action = heapq.heappop(self._due)
            self._time = max(self._time, at)
            return action

    def _jump(self, seconds: float | None) -> None:
        with self._moved:
            next_action = self._due[0][0] - self._time if self._due else None
        steps = [step for step in (seconds, next_action) if step is not None]
        if not steps:
            raise RuntimeError("nothing is left that could end this wait")
        self.advance(min(steps))
