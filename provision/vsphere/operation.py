"""The operation under which this thread calls vCenter.

vCenter takes an `operationID` from the SOAP header of a call and writes it, as `opID`, beside
everything that it and its hosts log about that call. That is how a line of vdl's journal finds
its lines in `vpxd.log` and `hostd.log`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operation:
    """What the calls of a block belong to; `on_task` is told the id of each task they start."""

    id: str
    on_task: Callable[[str], None]


_current: ContextVar[Operation | None] = ContextVar("operation", default=None)


@contextmanager
def operation(id_: str, on_task: Callable[[str], None]) -> Iterator[None]:
    """Let the calls that this thread sends in the block carry an operation id."""
    token = _current.set(Operation(id_, on_task))
    try:
        yield
    finally:
        _current.reset(token)


def current_operation() -> Operation | None:
    """Return the operation of the surrounding block, if there is one."""
    return _current.get()
