"""JPEG and PNG images: decoded, cut to a square and resized.

What is taken is the centre square of seven eighths of the shorter side, resized bilinearly: for
224 x 224 the usual "shorter side to 256, centre crop of 224" in one step. A JPEG is decoded at a
half, a quarter or an eighth of its size where that is still larger than what is needed.
"""

from __future__ import annotations

import io
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from payload.errors import DataUnusable

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
SHARE = 7 / 8
"""Of the shorter side: 224 of 256."""
HOW = "centre square of 7/8 of the shorter side, bilinear"

UInt8Array = np.ndarray[Any, np.dtype[np.uint8]]


def decode(content: bytes, where: object, *, size: int, channels: int) -> UInt8Array:
    """Return an image as uint8 [size, size, channels].

    Args:
        content: A JPEG or PNG file.
        where: What an error names.
        size: Height and width of the result.
        channels: 1 for grey, 3 for red, green and blue; images of another kind are converted.

    Raises:
        DataUnusable: If the image is damaged, truncated, of another format or absurdly large.
    """
    pillow, mode = _pillow(), "L" if channels == 1 else "RGB"
    try:
        with pillow.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            wanted = round(size / SHARE)
            image.draft(mode, (wanted, wanted))
            square = image.convert(mode).resize(
                (size, size), pillow.Resampling.BILINEAR, box=_centre(*image.size), reducing_gap=2.0
            )
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
        raise DataUnusable(f"{where}: not a whole JPEG or PNG image: {error}") from error
    pixels = np.asarray(square, dtype=np.uint8)
    return pixels.reshape(size, size, channels)


def _centre(width: int, height: int) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of the square that is taken."""
    side = SHARE * min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _pillow() -> ModuleType:
    try:
        return import_module("PIL.Image")
    except ModuleNotFoundError as missing:
        raise DataUnusable(
            "images need the package pillow, which is not installed", fix="pip install pillow"
        ) from missing
