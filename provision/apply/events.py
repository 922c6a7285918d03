"""What `apply` tells while it works: one event per thing that happens to a machine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from provision.apply.pipeline import Step


class Phase(StrEnum):
    """What happened to a step. `TASK` is a task that vCenter has taken on for it."""

    STARTED = "started"
    TASK = "task"
    DONE = "done"
    FAILED = "failed"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        seconds: How long the step took, 0 until it has ended.
        vm_id: The VM as far as it is known, such as `vm-42`.
        task_id: vCenter's task, such as `task-314`; only where the phase is `TASK`.
        operation: What vCenter's own logs call the step (`opID`).
    """

    machine: str
    step: Step
    phase: Phase
    seconds: float = 0.0
    message: str = ""
    vm_id: str = ""
    task_id: str = ""
    operation: str = ""


def line(event: Event) -> str:
    """Return the event as one line of plain text, for logs and for output without a terminal."""
    took = f" ({event.seconds:.1f} s)" if event.seconds else ""
    said = f": {' '.join(event.message.split())}" if event.message else ""
    return f"{event.machine} {event.step} {event.phase}{took}{said}"
