"""Which failed steps get a second attempt in the same run.

A task that ended in a fault has not done its work, and says so; the same step may begin anew,
because each looks at the VM first and sends only what is missing. A call whose outcome is not
known is another matter: `provision.vsphere.retry` has its rules.
"""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass, field

from provision.apply.pipeline import Step
from provision.apply.steps import Report
from provision.vsphere.port import ActionFailed

# Faults that speak of the moment and not of what was asked for (vSphere Web Services API
# reference): vCenter or a host was busy, out of touch, or stumbled.
PASSING = frozenset(
    {"FileLocked", "HostCommunication", "HostNotReachable", "SystemError", "Timedout"}
)
PAUSE_SECONDS = 2.0


def worth_a_second_attempt(step: Step, report: Report) -> bool:
    """Whether a step that failed may succeed if it is simply done again.

    A clone that left a partial VM may not: what it left is cleaned up first.
    """
    error = report.error
    if not isinstance(error, ActionFailed) or error.fault not in PASSING:
        return False
    return step is not Step.CLONE or not report.vm_id


@dataclass(slots=True)
class Resting:
    """The machines that wait for their second attempt, by when it is due."""

    pause: float
    _due: list[tuple[float, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self._due)

    def add(self, machine: str) -> None:
        """Let a machine rest."""
        heapq.heappush(self._due, (time.monotonic() + self.pause, machine))

    def left(self) -> float | None:
        """Return the seconds until the next one is due; None where none rests."""
        return max(0.0, self._due[0][0] - time.monotonic()) if self._due else None

    def take_due(self) -> list[str]:
        """Return the machines that have rested enough, and forget them."""
        found = []
        while self._due and self._due[0][0] <= time.monotonic():
            found.append(heapq.heappop(self._due)[1])
        return found
