"""Lists of names as a sentence has them."""

from __future__ import annotations

from collections.abc import Iterable

SHOWN = 5


def listed(names: Iterable[str], shown: int = SHOWN) -> str:
    """Return `a, b, c`, and `a, b, c and 7 more` where there are too many to read."""
    every = list(dict.fromkeys(names))
    if len(every) <= shown + 1:
        return ", ".join(every)
    return f"{', '.join(every[:shown])} and {len(every) - shown} more"


def counted(count: int, noun: str) -> str:
    """Return `1 machine`, `2 machines`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
