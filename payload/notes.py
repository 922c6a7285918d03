"""What is known of a run so far, for whoever keeps it in case the process dies."""

from __future__ import annotations

from collections.abc import Callable

from payload.document import Record

SECONDS = 5.0
"""Step times that a death may cost. A note of an hour's takes milliseconds, between two windows."""


class Notes:
    """Hands a record on as it is filled.

    Args:
        record: Of a run.
        note: Gets it.
        clock: Monotonic seconds.
    """

    def __init__(
        self, record: Record, note: Callable[[Record], None], clock: Callable[[], float]
    ) -> None:
        self._record, self._note, self._clock = record, note, clock
        self._next = clock() + SECONDS

    def take(self) -> None:
        """Hand the record on now."""
        self._note(self._record)
        self._next = self._clock() + SECONDS

    def now_and_then(self) -> None:
        """Hand the record on if the last time was long ago."""
        if self._clock() >= self._next:
            self.take()
