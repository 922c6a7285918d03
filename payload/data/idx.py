"""The IDX format of MNIST's files.

A header of four bytes (two zeros, the type of the elements, the number of dimensions), each
dimension as a big-endian 32-bit integer, then the elements, the last dimension running fastest
(Y. LeCun, "The MNIST database of handwritten digits", section "File formats").
"""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from payload.errors import DataUnusable

_MAGIC = struct.Struct(">HBB")
_UNSIGNED_BYTE = 0x08


def parse(content: bytes, path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the array that `content`, read from `path`, holds.

    Raises:
        DataUnusable: If it is no IDX file of unsigned bytes, or its length is not what its
            header says.
    """
    if len(content) < _MAGIC.size:
        raise DataUnusable(f"{path}: truncated: {len(content)} bytes are no IDX header")
    zeros, kind, dimensions = _MAGIC.unpack_from(content)
    if zeros != 0 or kind != _UNSIGNED_BYTE or dimensions == 0:
        raise DataUnusable(f"{path}: not an IDX file of unsigned bytes")
    header = struct.Struct(f">{dimensions}I")
    start = _MAGIC.size + header.size
    if len(content) < start:
        raise DataUnusable(f"{path}: truncated in its header")
    shape = header.unpack_from(content, _MAGIC.size)
    if len(content) - start != prod(shape):
        raise DataUnusable(
            f"{path}: truncated or damaged: {len(content) - start} bytes of data, "
            f"but its header says {prod(shape)}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
