"""Training data: what it is, and where it comes from.

Data that was asked for and can't be used is an error. Synthetic data never stands in for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from payload import digits, files
from payload.errors import DataUnusable
from payload.settings import DIGITS, SYNTHETIC, Settings

UInt8Array = np.ndarray[Any, np.dtype[np.uint8]]
Int32Array = np.ndarray[Any, np.dtype[np.int32]]

SYNTHETIC_BATCHES = 4
"""Batches that a synthetic run cycles through. One would let caches flatter a small model."""


@dataclass(frozen=True, slots=True)
class Images:
    """Images as uint8 [n, height, width, channels] and their labels as int32 [n]."""

    images: UInt8Array
    labels: Int32Array

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Training and test images with their origin.

    Attributes:
        source: `synthetic`, `mnist` (published checksums), `digits`, or `files` (own checksums).
        train: What the steps train on.
        test: What accuracy is measured on; synthetic data has none.
        path: Where it was read.
        sha256: Digest of each file by name; of the arrays for `digits`.
    """

    source: str
    train: Images
    test: Images | None = None
    path: Path | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Return what the document says about the data."""
        return {
            "source": self.source,
            "path": None if self.path is None else str(self.path),
            "examples": len(self.train),
            "test_examples": None if self.test is None else len(self.test),
            "sha256": dict(self.sha256),
        }


def load(settings: Settings) -> Dataset:
    """Return the data that a run asked for.

    Raises:
        DataUnusable: If it is missing, damaged, not what its checksum says, or does not fit.
    """
    if settings.data == SYNTHETIC:
        return synthetic(settings)
    if settings.data == DIGITS:
        dataset = _digits()
    else:
        dataset = _files(Path(settings.data), settings.checksums)
    _check_fit(dataset, settings)
    return dataset


def synthetic(settings: Settings) -> Dataset:
    """Return uniformly random images and labels, the same for the same seed."""
    random = np.random.default_rng(settings.seed)
    count = SYNTHETIC_BATCHES * settings.global_batch_size
    images = random.integers(0, 256, (count, *settings.image_shape), dtype=np.uint8)
    labels = random.integers(0, settings.classes, count, dtype=np.int32)
    return Dataset(SYNTHETIC, Images(images, labels))


def _digits() -> Dataset:
    train, test, digest = digits.load()
    return Dataset(DIGITS, Images(*train), Images(*test), sha256={"digits": digest})


def _files(path: Path, checksum_list: Path | None) -> Dataset:
    found = files.load(path, checksum_list)
    return Dataset(
        found.source, Images(*found.train), Images(*found.test), found.path, found.sha256
    )


def _check_fit(dataset: Dataset, settings: Settings) -> None:
    where = dataset.path or dataset.source
    for part in (dataset.train, dataset.test):
        if part is None:
            continue
        if part.images.shape[1:] != settings.image_shape:
            raise DataUnusable(
                f"{where}: images of {_sides(part.images.shape[1:])}, "
                f"but {settings.model} was asked for with {_sides(settings.image_shape)}"
            )
        # An index out of range is an error on a CPU, but a silent NaN on a GPU.
        if len(part) == 0 or not 0 <= part.labels.min() <= part.labels.max() < settings.classes:
            raise DataUnusable(f"{where}: labels lie outside 0 to {settings.classes - 1}")
    if len(dataset.train) < settings.global_batch_size:
        raise DataUnusable(
            f"{where}: {len(dataset.train)} training images do not fill a batch of "
            f"{settings.global_batch_size}",
            fix="choose a smaller --batch-size",
        )


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape)
