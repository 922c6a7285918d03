"""What a child tells its parent: notes, of which the last one counts, and results.

Each message is a letter, the length of the rest as eight bytes, and a pickled value. A child that
dies leaves at most its last message incomplete, and that one is never looked at.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Iterator
from threading import Lock
from typing import Any

_HEAD = struct.Struct("<cQ")
_NOTE, _RESULT = b"n", b"r"


class Channel:
    """The child's end. Threads may share it.

    Args:
        pipe: Where to write.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe, self._lock = pipe, Lock()

    def note(self, value: Any) -> None:
        """Tell what is to remain if this process dies now."""
        self._send(_NOTE, value)

    def deliver(self, value: Any) -> None:
        """Tell a result."""
        self._send(_RESULT, value)

    def _send(self, kind: bytes, value: Any) -> None:
        body = pickle.dumps(value)
        data = memoryview(_HEAD.pack(kind, len(body)) + body)
        with self._lock:
            while data:
                data = data[os.write(self._pipe, data) :]


class Inbox:
    """The parent's end: bytes in, values out.

    A note may hold NumPy's numbers, so none is unpickled before it is wanted: the parent would
    load NumPy while steps are timed.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._note: bytes | None = None
        self._results: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Take what was read from the pipe."""
        self._bytes += data
        while len(self._bytes) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._bytes)
            end = _HEAD.size + length
            if len(self._bytes) < end:
                return
            body = bytes(self._bytes[_HEAD.size : end])
            del self._bytes[:end]
            if kind == _NOTE:
                self._note = body
            else:
                self._results.append(body)

    def results(self) -> Iterator[Any]:
        """Yield the results that have not been yielded before."""
        while self._results:
            yield pickle.loads(self._results.pop(0))  # noqa: S301 a child of our own wrote it

    def note(self) -> Any:
        """Return the last note; `None` where there is none."""
        return None if self._note is None else pickle.loads(self._note)  # noqa: S301 as above
