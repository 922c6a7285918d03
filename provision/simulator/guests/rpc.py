"""What the guest's `vmware-rpctool` talks to: a socket in a folder that the guest is shown.

One JSON list of words in, a JSON pair out: whether it was done, and the answer. The words are
those of VMware's tool: `info-get KEY`, `info-set KEY VALUE`; and `tools.report NAME ADDRESSES`
stands for what VMware Tools tell on their own.
"""

from __future__ import annotations

import json
import os
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from provision.simulator.guests.backend import GuestReport

NOTHING = "No value found"
LONGEST_LINE = 2**20


@contextmanager
def short(path: Path) -> Iterator[str]:
    """Give a short name to a socket: its address may have 107 bytes, its folder may be deep."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class GuestInfo:
    """The guestinfo of one VM, served on `socket` until `close`.

    Args:
        socket: Where to listen.
        given: The `guestinfo.*` settings of the VM, which the guest may read.
        on_report: Called whenever the guest tells something, once Tools have told its name.
    """

    def __init__(
        self, socket: Path, given: Mapping[str, str], on_report: Callable[[GuestReport], None]
    ) -> None:
        self._given = dict(given)
        self._published: dict[str, str] = {}
        self._who: tuple[str, tuple[str, ...]] | None = None
        self._on_report = on_report
        self._guard = threading.Lock()
        info = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                line = self.rfile.readline(LONGEST_LINE)
                self.wfile.write(json.dumps(info.answer(line)).encode() + b"\n")

        socket.unlink(missing_ok=True)
        with short(socket) as name:
            self._server = socketserver.ThreadingUnixStreamServer(name, Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def answer(self, line: bytes) -> tuple[bool, str]:
        """Do what the guest asks for. It may ask for anything, so nothing is taken on trust."""
        try:
            words = [str(word) for word in json.loads(line)]
        except (ValueError, TypeError):
            return False, "Unknown command"
        match words:
            case ["info-get", key]:
                return self._get(key)
            case ["info-set", key, value] if key.startswith("guestinfo."):
                self._tell(lambda: self._published.__setitem__(key, value))
                return True, ""
            case ["tools.report", name, addresses]:
                self._tell(lambda: self._introduce(name, tuple(addresses.split())))
                return True, ""
        return False, "Unknown command"

    def _get(self, key: str) -> tuple[bool, str]:
        with self._guard:
            value = self._published.get(key, self._given.get(key))
        return (False, NOTHING) if value is None else (True, value)

    def _introduce(self, name: str, addresses: tuple[str, ...]) -> None:
        self._who = (name, addresses)

    def _tell(self, change: Callable[[], None]) -> None:
        with self._guard:
            change()
            if self._who is not None:
                self._on_report(GuestReport(*self._who, dict(self._published)))

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
