"""What can go wrong in a run; each class has the code that its reason in the document has."""

from __future__ import annotations

from typing import ClassVar


class PayloadError(Exception):
    """A failure that makes the result invalid.

    Args:
        what: What happened, to which object, as one sentence without a full stop.
        fix: What to do next.
    """

    code: ClassVar[str] = "failed"

    def __init__(self, what: str, *, fix: str | None = None) -> None:
        self.what = what
        self.fix = fix
        super().__init__(f"{what}; {fix}" if fix else what)

    @property
    def reason(self) -> str:
        """Return `code: what; fix`, the form that the document's `reasons` have."""
        return f"{self.code}: {self}"


class DataUnusable(PayloadError):
    """The training data is missing, truncated, has another checksum or does not fit the model."""

    code = "data"


class EngineMissing(PayloadError):
    """The training framework is not installed."""

    code = "engine-missing"


class EngineFailed(PayloadError):
    """The framework, the driver or the device refused an operation."""

    code = "engine"


class OutOfMemory(PayloadError):
    """The batch, the model or the data does not fit into the memory of the device or the host."""

    code = "out-of-memory"


class Died(PayloadError):
    """The process that trained was killed, or ended itself, for another reason than memory."""

    code = "died"


class TimeOver(PayloadError):
    """The process that trained did not end in the time that it had."""

    code = "time"


class Diverged(PayloadError):
    """The loss became NaN or infinite: what follows is not training."""

    code = "diverged"


class Interrupted(PayloadError):
    """SIGINT or SIGTERM arrived."""

    code = "interrupted"


class WorkersUnmet(PayloadError):
    """The workers of a job did not find each other, or were not asked for the same."""

    code = "workers-unmet"


class WorkerLost(PayloadError):
    """Another worker of the job died, hung or failed: what is left of it is no result."""

    code = "worker-lost"
