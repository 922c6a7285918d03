"""What happens in the loop, for whoever keeps a log of it."""

from __future__ import annotations

from enum import Enum, auto


class Happening(Enum):
    """A moment at which something begins or ends."""

    READY = auto()
    """Model and data are there; the first step comes next."""
    TIMED_BEGIN = auto()
    TIMED_END = auto()
    EPOCH_BEGIN = auto()
    EPOCH_END = auto()
    """The last step of an epoch is done; the test of accuracy comes next."""
    TESTED = auto()
