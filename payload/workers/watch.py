"""Workers watch each other: one that dies, hangs or fails ends the job of all.

A thread per connection beats every `BEAT_SECONDS` and listens. A process that dies closes its
connection at once; a machine that vanishes is silent, for `SILENCE_SECONDS`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from payload.workers.meeting import Lines
from payload.workers.wire import Wire, WireBroken

BEAT_SECONDS = 2.0
SILENCE_SECONDS = 30.0
BYE_SECONDS = 2.0
"""How long to wait until the others have heard that this worker is done."""
NOTICE_SECONDS = 3.0
"""The engine may see a loss before the watch does; this long it may take the watch."""


class Watch:
    """Watches the other side of every connection.

    Args:
        lines: To all others, or to worker 0.
        names: What to call each worker, by rank.
        on_loss: Called once, from a thread, with what happened to whom.
    """

    def __init__(
        self, lines: tuple[Lines, ...], names: tuple[str, ...], on_loss: Callable[[str], None]
    ) -> None:
        self._lines, self._names, self._on_loss = lines, names, on_loss
        self._lock = threading.Lock()
        self._lost = threading.Event()
        self._over = threading.Event()
        self._loss = ""
        listeners = (threading.Thread(target=self._listen, args=(line,)) for line in lines)
        self._threads = (*listeners, threading.Thread(target=self._beat))
        for line in lines:
            line.watch.set_timeout(SILENCE_SECONDS)
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    def loss(self) -> str:
        """Return what happened to whom; wait a moment for it. Empty if nothing did."""
        self._lost.wait(NOTICE_SECONDS)
        return self._loss

    def end(self, failure: str | None) -> None:
        """Tell the others that this worker is done, or why it failed, and hang up."""
        self._over.set()
        self._tell({"failed": failure} if failure else {"bye": True})
        for line in self._lines:
            line.watch.finish()
        end = time.monotonic() + BYE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        for line in self._lines:
            line.watch.shut()
            line.close()

    def _listen(self, line: Lines) -> None:
        while True:
            try:
                message = line.watch.receive()
            except WireBroken as broken:
                self._lose(f"{self._names[line.rank]} was lost: {broken}")
                return
            if "bye" in message:
                return
            if "failed" in message:
                self._lose(f"{self._names[line.rank]} failed: {message['failed']}")
                return
            if "lost" in message:
                self._lose(message["lost"])
                return

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            self._tell({"beat": True})

    def _lose(self, what: str) -> None:
        with self._lock:
            if self._over.is_set() or self._lost.is_set():
                return
            self._loss = what
            self._lost.set()
        self._tell({"lost": what})
        for line in self._lines:
            line.talk.shut()  # the main thread may be waiting there
        self._on_loss(what)

    def _tell(self, message: dict[str, object]) -> None:
        for line in self._lines:
            _send(line.watch, message, self._lock)


def _send(wire: Wire, message: dict[str, object], lock: threading.Lock) -> None:
    with lock:
        try:
            wire.send(message)
        except WireBroken:
            return  # its listener says so
