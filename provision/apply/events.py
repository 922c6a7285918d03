"""What `apply` tells while it works: one event per thing that happens to a machine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from provision.apply.pipeline import Step


class Phase(StrEnum):
    """What happened to a step."""

    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `seconds` is how long the step took, 0 until it has ended."""

    machine: str
    step: Step
    phase: Phase
    seconds: float = 0.0
    message: str = ""


def line(event: Event) -> str:
    """Return the event as one line of plain text, for logs and for output without a terminal."""
    took = f" ({event.seconds:.1f} s)" if event.seconds else ""
    said = f": {' '.join(event.message.split())}" if event.message else ""
    return f"{event.machine} {event.step} {event.phase}{took}{said}"
