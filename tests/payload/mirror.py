"""A mirror on the loopback, over HTTP or HTTPS, with faults that a test asks for."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar


@dataclass
class Mirror:
    """Serves files by name.

    Attributes:
        files: Content by path, such as `/mnist/mnist.npz`.
        cut: Bytes after which an answer ends, although its header promises all.
        delay: Seconds between two pieces of an answer.
        redirect: Where every request is sent.
        asked: The paths asked for.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cut: int | None = None
    delay: float = 0.0
    redirect: str | None = None
    asked: list[str] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    mirror: ClassVar[Mirror]

    def do_GET(self) -> None:
        mirror = self.mirror
        mirror.asked.append(self.path)
        if mirror.redirect is not None:
            self.send_response(302)
            self.send_header("Location", mirror.redirect)
            self.end_headers()
            return
        path = self.path.partition("http://elsewhere")[2] or self.path
        content = mirror.files.get(path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        sent = content[: mirror.cut]
        with suppress(ConnectionError):  # a client may have seen enough
            for start in range(0, len(sent), 64) if mirror.delay else [0]:
                self.wfile.write(sent[start : start + 64] if mirror.delay else sent)
                self.wfile.flush()
                time.sleep(mirror.delay)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 as the base class has it
        pass


@contextmanager
def serving(files: dict[str, bytes], context: ssl.SSLContext | None = None) -> Iterator[Mirror]:
    """Serve files while the block runs; over HTTPS if there is a context."""
    mirror = Mirror(files)
    handler = type("OneMirror", (Handler,), {"mirror": mirror})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        scheme = "http"
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        mirror.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield mirror
        finally:
            server.shutdown()
            thread.join()
