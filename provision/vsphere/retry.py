"""What may be sent again, and how patiently.

Three things can happen to a call, and each has one rule:

- No connection came about: nothing was sent, so any call may be tried again.
- vCenter answered `NotAuthenticated`: it did nothing, so any call may be sent once more after
  a new login.
- The response was lost: only a call in `REPEATABLE` may be sent again. All others may have
  been carried out; whoever sent one finds out by looking at the VM.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from provision.deadline import Deadline

# Calls that read, and calls that make an object which belongs to the session alone and ends
# with it. `ContinueRetrievePropertiesEx` and `WaitForUpdatesEx` are missing on purpose: their
# tokens move on with each answer, so the whole read or wait starts again.
REPEATABLE = frozenset(
    {
        "CreateContainerView",
        "CreateFilter",
        "CreateListView",
        "CreatePropertyCollector",
        "FindAllByUuid",
        "HasPrivilegeOnEntities",
        "QueryConfigOptionEx",
        "QueryConfigTarget",
        "RetrievePropertiesEx",
        "RetrieveServiceContent",
    }
)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0

_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def pauses() -> Iterator[float]:
    """Yield the seconds to wait before each new attempt: doubling, jittered, at most 5."""
    pause = FIRST_PAUSE
    while True:
        # Jitter keeps 64 workers from coming back in one wave; it is no secret.
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311
        pause = min(2 * pause, LONGEST_PAUSE)


@contextmanager
def within(deadline: Deadline) -> Iterator[None]:
    """Let the calls of this block be tried again until the deadline, an outer one at most."""
    outer = _deadline.get()
    token = _deadline.set(deadline if outer is None or deadline.at < outer.at else outer)
    try:
        yield
    finally:
        _deadline.reset(token)


def current_deadline(default_seconds: float) -> Deadline:
    """Return the deadline of the surrounding `within`, else one that is so far from now."""
    return _deadline.get() or Deadline.after(default_seconds)
