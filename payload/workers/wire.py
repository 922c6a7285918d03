"""Messages and bulk bytes over one TCP connection: each is its length, then JSON or raw bytes."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import suppress
from typing import Any

LARGEST_MESSAGE = 64 * 2**20
"""Bytes. What a worker tells of its run has some hundred kilobytes; more is a stranger's."""
_HEAD = struct.Struct(">I")


class WireBroken(Exception):
    """The other side went away, or does not speak as a worker does."""


class Wire:
    """One side of a connection between two workers."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def set_timeout(self, seconds: float | None) -> None:
        """Let `receive` raise `WireBroken` after so many seconds without a byte."""
        self._socket.settimeout(seconds)

    def send(self, message: Any) -> None:
        """Send what JSON can say.

        Raises:
            WireBroken: If the other side is gone.
        """
        self.send_bytes(json.dumps(message).encode())

    def receive(self) -> Any:
        """Wait for a message and return it.

        Raises:
            WireBroken: If the other side is gone or sends no JSON.
        """
        try:
            return json.loads(self.receive_bytes())
        except ValueError as error:
            raise WireBroken(f"it sent no message: {error}") from error

    def send_bytes(self, content: bytes | memoryview) -> None:
        """Send bytes as they are.

        Raises:
            WireBroken: If the other side is gone.
        """
        try:
            self._socket.sendall(_HEAD.pack(len(content)))
            self._socket.sendall(content)
        except OSError as error:
            raise WireBroken(_said(error)) from error

    def receive_bytes(self) -> bytearray:
        """Wait for bytes and return them.

        Raises:
            WireBroken: If the other side is gone or announces too much.
        """
        (length,) = _HEAD.unpack(self._exactly(_HEAD.size))
        if length > LARGEST_MESSAGE:
            raise WireBroken(f"it announced {length} bytes")
        return self._exactly(length)

    def _exactly(self, length: int) -> bytearray:
        content = bytearray(length)
        rest = memoryview(content)
        while rest:
            try:
                count = self._socket.recv_into(rest)
            except OSError as error:
                raise WireBroken(_said(error)) from error
            if count == 0:
                raise WireBroken("it closed the connection")
            rest = rest[count:]
        return content

    def finish(self) -> None:
        """Tell the other side that nothing more will come; it may still send."""
        with suppress(OSError):  # the other side was faster
            self._socket.shutdown(socket.SHUT_WR)

    def shut(self) -> None:
        """Wake whoever waits on either side: there is nothing more to come."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def _said(error: OSError) -> str:
    return "it is silent" if isinstance(error, TimeoutError) else (error.strerror or str(error))
