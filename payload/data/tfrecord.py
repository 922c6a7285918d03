"""TFRecord files, read without TensorFlow.

A record is its length (8 bytes, little endian), a checksum of these 8 bytes, the content, and a
checksum of the content. A checksum is CRC-32C, rotated right by 15 bits, plus a constant
(TensorFlow, `core/lib/io/record_writer.h` and `core/lib/hash/crc32c.h`).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from payload.errors import DataUnusable

_HEAD = struct.Struct("<QI")
_FOOT = struct.Struct("<I")
_DELTA = 0xA282EAD8
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Record:
    """Where a record's content lies: its file, its number counted from 1, offset and length."""

    path: Path
    number: int
    offset: int
    length: int

    def __str__(self) -> str:
        return f"{self.path}, record {self.number}"


def index(path: Path) -> list[Record]:
    """Return all records of a file; only their headers are read.

    Raises:
        DataUnusable: If the file can't be read, is truncated, compressed or no TFRecord file.
    """
    try:
        with path.open("rb") as file:
            return _index(file, path)
    except OSError as error:
        raise DataUnusable(f"{path}: can't be read: {error}") from error


def _index(file: BinaryIO, path: Path) -> list[Record]:
    size, offset, found = os.fstat(file.fileno()).st_size, 0, list[Record]()
    while offset < size:
        head = os.pread(file.fileno(), _HEAD.size, offset)
        where = f"{path}, record {len(found) + 1}"
        if len(head) < _HEAD.size:
            raise DataUnusable(f"{where}: truncated in its header")
        length, checksum = _HEAD.unpack(head)
        if masked_crc(head[:8]) != checksum:
            if offset == 0 and head.startswith(_GZIP):
                raise DataUnusable(f"{path}: is compressed", fix="unpack it with gunzip")
            raise DataUnusable(f"{where}: its header's checksum is wrong: damaged, or no TFRecord")
        end = offset + _HEAD.size + length + _FOOT.size
        if end > size:
            raise DataUnusable(f"{where}: truncated: ends at byte {end} of {size}")
        found.append(Record(path, len(found) + 1, offset + _HEAD.size, length))
        offset = end
    return found


def read(record: Record) -> bytes:
    """Return a record's content.

    Raises:
        DataUnusable: If it can't be read or its checksum is wrong.
    """
    try:
        with record.path.open("rb", buffering=0) as file:
            content = os.pread(file.fileno(), record.length + _FOOT.size, record.offset)
    except OSError as error:
        raise DataUnusable(f"{record}: can't be read: {error}") from error
    if len(content) < record.length + _FOOT.size:
        raise DataUnusable(f"{record}: truncated")
    if masked_crc(content[: record.length]) != _FOOT.unpack(content[record.length :])[0]:
        raise DataUnusable(f"{record}: its checksum is wrong: the file is damaged")
    return content[: record.length]


def masked_crc(content: bytes) -> int:
    """Return the checksum as TFRecord files hold it."""
    crc = int(_crc32c().value(content))
    return ((crc >> 15 | crc << 17) + _DELTA) & 0xFFFFFFFF


def _crc32c() -> Any:
    try:
        return import_module("google_crc32c")
    except ModuleNotFoundError as missing:
        raise DataUnusable(
            "TFRecord files need the package google-crc32c, which is not installed",
            fix="pip install google-crc32c",
        ) from missing
