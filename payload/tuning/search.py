"""`--batch-size max`: the largest batch that fits, found by trying.

Each try is a run of a few steps in a process of its own: memory that one has broken up is not in
the way of the next, and one that dies takes nothing with it. On a CPU a try may take what
memory is available but for a margin (`memory.bounded`), so the kernel has nothing to kill.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from payload.apart.training import run_apart
from payload.document import Json
from payload.errors import OutOfMemory
from payload.interrupt import StopRequest
from payload.settings import Settings

FITS = "fits"
NO_MEMORY = OutOfMemory.code
TRIAL_STEPS = 3
TRIAL_SECONDS = 300.0
"""A try that takes longer counts as too large: a batch of minutes a step is of no use."""
FINENESS = 16
"""The search ends when what fits and what does not are within a sixteenth."""
LARGEST = 1 << 20
"""More was never asked for: a small model would go on for ever."""

_TOO_LARGE = frozenset({NO_MEMORY, "data", "time"})
"""Codes of reasons that a smaller batch may do away with; `data`: it does not fill a batch."""


@dataclass(frozen=True, slots=True)
class Try:
    """A batch size, `fits` or the code of the reason why it does not, and the seconds it took."""

    batch_size: int
    outcome: str
    seconds: float


class Pointless(Exception):
    """A try failed for a reason that has nothing to do with its size, or a stop is requested."""


class Search:
    """Tries batch sizes of one run.

    Args:
        settings: The run; its batch size is the first to try.
        stop: A signal that arrives there ends the try that is running, and the search.
        say: Told every outcome.
    """

    def __init__(self, settings: Settings, stop: StopRequest, say: Callable[[str], None]) -> None:
        # Trials of XLA are for the run itself; whether it needs more memory is not.
        self._short = replace(
            settings,
            steps=TRIAL_STEPS,
            time_limit=None,
            epochs=0,
            target_accuracy=None,
            ceilings="off",
            xla="off" if settings.xla == "off" else "on",
        )
        self._stop, self._say = stop, say
        self.tries: list[Try] = []

    def measure(self, run: Callable[[int], Json]) -> Json:
        """Run the largest batch size that fits, and return the document of that run.

        Memory that three steps leave free is not all free in a long run: allocators keep and break
        it up. Where it then does not suffice, the next smaller size that fitted is run instead.
        """
        batch_size = self.find()
        while True:
            started = time.monotonic()
            document = run(batch_size)
            smaller = [size for size in self._fitting() if size < batch_size]
            if outcome(document) != NO_MEMORY or not smaller or self._stop.signal is not None:
                return document
            self._note(batch_size, NO_MEMORY, started)
            batch_size = max(smaller)

    def find(self) -> int:
        """Return the largest batch size that fits, to a sixteenth; where none does, 1.

        If a try fails for another reason than its size, the search ends, and the run itself will
        say what it is.
        """
        try:
            return max(largest(self._fits, self._short.batch_size), 1)
        except Pointless:
            return max(self._fitting(), default=self._short.batch_size)

    def describe(self) -> Json:
        """Return all tries, in their order."""
        return {"tries": [asdict(tried) for tried in self.tries]}

    def _fits(self, batch_size: int) -> bool:
        if self._stop.signal is not None:
            raise Pointless
        started = time.monotonic()
        settings = replace(self._short, batch_size=batch_size)
        document = run_apart(
            settings,
            self._stop,
            lambda _document: None,
            self._say,
            catch=True,
            seconds=TRIAL_SECONDS,
        )
        code = outcome(document)
        self._note(batch_size, code, started)
        if code != FITS and code not in _TOO_LARGE:
            raise Pointless
        return code == FITS

    def _fitting(self) -> list[int]:
        return [tried.batch_size for tried in self.tries if tried.outcome == FITS]

    def _note(self, batch_size: int, code: str, started: float) -> None:
        self.tries.append(Try(batch_size, code, round(time.monotonic() - started, 3)))
        self._say(f"batch size {batch_size}: {code}")


def largest(fits: Callable[[int], bool], start: int) -> int:
    """Return the largest number that fits, to a sixteenth; 0 if not even 1 does.

    Doubles from `start` while it fits, or halves while it does not, then bisects.
    """
    low, high = 0, start
    while fits(high):
        low, high = high, 2 * high
        if high > LARGEST:
            return low
    while low == 0 and high > 1:
        if fits(high // 2):
            low = high // 2
        else:
            high //= 2
    while high - low > max(1, low // FINENESS):
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


def outcome(document: Json) -> str:
    """Return `fits`, or the code of the reason why a try failed."""
    reasons = document["reasons"]
    return str(reasons[0]).partition(":")[0] if reasons else FITS
