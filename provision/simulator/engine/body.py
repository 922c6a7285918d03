"""The body of an HTTP request: of a given length, or in chunks (RFC 9112, section 7.1)."""

from __future__ import annotations

import re
from email.message import Message
from http import HTTPStatus
from io import BufferedIOBase

MAX_REQUEST = 16 * 2**20

_LONGEST_LINE = 1024
_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})\s*(;.*)?\r?\n")


class BadBody(ValueError):
    """A body that can't be read; `status` is what the client is to be told."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


def read_body(headers: Message, stream: BufferedIOBase) -> bytes:
    """Read the body that the headers announce.

    Raises:
        BadBody: It has no length, is too long, or its chunks are none.
    """
    if headers.get("Transfer-Encoding", "").lower() == "chunked":
        return _read_chunks(stream)
    length = headers.get("Content-Length", "")
    if not length.isdecimal():
        raise BadBody(HTTPStatus.LENGTH_REQUIRED)
    _check_length(int(length))
    return stream.read(int(length))


def _read_chunks(stream: BufferedIOBase) -> bytes:
    body = bytearray()
    while size := _chunk_size(stream):
        _check_length(len(body) + size)
        body += stream.read(size)
        if stream.readline(_LONGEST_LINE).strip():
            raise BadBody(HTTPStatus.BAD_REQUEST)
    while stream.readline(_LONGEST_LINE).strip():
        pass  # Trailers say nothing that matters here.
    return bytes(body)


def _chunk_size(stream: BufferedIOBase) -> int:
    match = _SIZE.fullmatch(stream.readline(_LONGEST_LINE))
    if match is None:
        raise BadBody(HTTPStatus.BAD_REQUEST)
    return int(match[1], 16)


def _check_length(length: int) -> None:
    if length > MAX_REQUEST:
        raise BadBody(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
