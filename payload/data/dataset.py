"""Training data: what it is, and where it comes from.

Data that was asked for and can't be used is an error. Synthetic data never stands in for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from payload.data import albums, digits, files, mirror, pictures
from payload.data.albums import Album
from payload.data.files import Found
from payload.errors import DataUnusable
from payload.settings import DIGITS, KERAS, SYNTHETIC, Settings

UInt8Array = np.ndarray[Any, np.dtype[np.uint8]]
Rows = np.ndarray[Any, np.dtype[np.int64]]
Int32Array = np.ndarray[Any, np.dtype[np.int32]]

SYNTHETIC_BATCHES = 4
"""Batches that a synthetic run cycles through. One would let caches flatter a small model."""


class Examples(Protocol):
    """Images with labels that may lie in memory or be read when they are taken."""

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Return height, width and channels."""
        ...

    @property
    def decode_threads(self) -> int:
        """Return how many threads decode images; 0 where they lie in memory."""
        ...

    def __len__(self) -> int: ...

    def take(self, rows: Rows) -> tuple[UInt8Array, Int32Array]:
        """Return uint8 [n, height, width, channels] and int32 [n]: those with these numbers."""
        ...


@dataclass(frozen=True, slots=True)
class Images:
    """Images as uint8 [n, height, width, channels] and their labels as int32 [n]."""

    images: UInt8Array
    labels: Int32Array

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Return height, width and channels."""
        _, *sides = self.images.shape
        return tuple(sides)

    @property
    def decode_threads(self) -> int:
        """Return 0: nothing is to be decoded."""
        return 0

    def take(self, rows: Rows) -> tuple[UInt8Array, Int32Array]:
        """Return some of the images and their labels."""
        return self.images[rows], self.labels[rows]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Training and test images with their origin.

    Attributes:
        source: `synthetic`, `mnist` (published checksums), `digits`, `files` (own checksums),
            `images` (a folder) or `tfrecord`.
        train: What the steps train on.
        test: What accuracy is measured on; synthetic data has none.
        path: Path or URL it was read at.
        sha256: Digest of each file by name; of the arrays for `digits`; over names and sizes
            (`file list`) for images and TFRecord without a list of checksums.
        classes: Number of classes found, where they have names.
        resize: How images were brought to their size; `None` where they had it.
    """

    source: str
    train: Examples
    test: Examples | None = None
    path: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)
    classes: int | None = None
    resize: str | None = None

    def describe(self) -> dict[str, Any]:
        """Return what the document says about the data."""
        return {
            "source": self.source,
            "path": self.path,
            "examples": len(self.train),
            "test_examples": None if self.test is None else len(self.test),
            "sha256": dict(self.sha256),
            "classes": self.classes,
            "resize": self.resize,
        }


def load(settings: Settings) -> Dataset:
    """Return the data that a run asked for.

    Raises:
        DataUnusable: If it is missing, damaged, not what its checksum says, or does not fit.
    """
    if settings.data == SYNTHETIC:
        return synthetic(settings)
    dataset = _digits(settings) if settings.data == DIGITS else _read(settings)
    check_fit(dataset, settings)
    return dataset


def synthetic(settings: Settings) -> Dataset:
    """Return uniformly random images and labels, the same for the same seed."""
    random = np.random.default_rng(settings.seed)
    count = SYNTHETIC_BATCHES * settings.global_batch_size
    images = random.integers(0, 256, (count, *settings.image_shape), dtype=np.uint8)
    labels = random.integers(0, settings.classes, count, dtype=np.int32)
    return Dataset(SYNTHETIC, Images(images, labels))


def _digits(settings: Settings) -> Dataset:
    train, test, digest = digits.load(settings.image_size, settings.channels)
    return Dataset(DIGITS, Images(*train), Images(*test), sha256={"digits": digest})


def _read(settings: Settings) -> Dataset:
    """Read what `--data` names: a mirror, Keras' cache, a file or a folder."""
    if mirror.is_url(settings.data):
        return _from_files(files.load_mirror(settings.data, settings.checksums))
    path = keras_cache() if settings.data == KERAS else Path(settings.data)
    wanted = (settings.checksums, settings.image_shape, settings.classes)
    if albums.shards(path):
        return _from_album(albums.load_records(path, *wanted), path)
    if not files.is_there(path) and albums.is_image_folder(path):
        return _from_album(albums.load_folder(path, *wanted), path)
    return _from_files(files.load(path, settings.checksums))


def keras_cache() -> Path:
    """Return where Keras keeps MNIST that it fetched: below `KERAS_HOME`, else `~/.keras`."""
    home = os.environ.get("KERAS_HOME") or "~/.keras"
    return Path(home).expanduser() / "datasets" / files.ARCHIVE


def _from_files(found: Found) -> Dataset:
    return Dataset(
        found.source, Images(*found.train), Images(*found.test), found.path, found.sha256
    )


def _from_album(album: Album, path: Path) -> Dataset:
    return Dataset(
        album.source,
        album.train,
        album.test,
        str(path),
        album.sha256,
        album.classes,
        pictures.HOW,
    )


def check_fit(dataset: Dataset, settings: Settings) -> None:
    """Check that a model can be trained on the data.

    Raises:
        DataUnusable: If images have another size, labels lie outside, or no batch is filled.
    """
    where = dataset.path or dataset.source
    for part in (dataset.train, dataset.test):
        if part is None:
            continue
        if part.image_shape != settings.image_shape:
            raise DataUnusable(
                f"{where}: images of {_sides(part.image_shape)}, "
                f"but {settings.model} was asked for with {_sides(settings.image_shape)}"
            )
        if isinstance(part, Images):
            _check_labels(part, where, settings.classes)
    if settings.epochs and dataset.test is None:
        raise DataUnusable(
            f"{where}: holds no test images, which --epochs needs",
            fix="add a folder `val`, or files whose names begin with `val`",
        )
    if len(dataset.train) < settings.global_batch_size:
        raise DataUnusable(
            f"{where}: {len(dataset.train)} training images do not fill a batch of "
            f"{settings.global_batch_size}",
            fix="choose a smaller --batch-size",
        )


def _check_labels(part: Images, where: str, classes: int) -> None:
    # An index out of range is an error on a CPU, but a silent NaN on a GPU.
    if len(part) == 0 or not 0 <= part.labels.min() <= part.labels.max() < classes:
        raise DataUnusable(f"{where}: labels lie outside 0 to {classes - 1}")


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape)
