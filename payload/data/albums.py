"""Image folders and TFRecord files: too large for memory, so read and decoded when needed.

Image folder: `CLASS/IMAGE.jpg`, or the same below `train` and `val` (or `validation`, `test`).
Classes are numbered in the order of their names. TFRecord: files called `*.tfrecord` or
`*-00000-of-01024`; those whose name begins with `val` or `test` hold test images. Their records
are Examples with `image/encoded` (JPEG or PNG) and `image/class/label`, as ImageNet's are.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from payload.data import checksums, example, pictures, tfrecord
from payload.data.tfrecord import Record
from payload.errors import DataUnusable
from payload.machine.hardware import usable_cpus

TEST_FOLDERS = ("val", "validation", "test")
TEST_FILES = ("val", "test")
IMAGE_KEY, LABEL_KEY = "image/encoded", "image/class/label"
_SHARD = re.compile(r".*(\.tfrecords?|-\d{5}-of-\d{5})")

UInt8Array = np.ndarray[Any, np.dtype[np.uint8]]
Int32Array = np.ndarray[Any, np.dtype[np.int32]]
Shape = tuple[int, int, int]
Item = TypeVar("Item")


class Decoded(Generic[Item]):
    """Examples that are read and decoded when they are taken, by as many threads as CPUs.

    Args:
        items: Where each example lies.
        load: Reads one: its image, uint8 of `image_shape`, and its label.
        image_shape: Height, width and channels.
    """

    def __init__(
        self,
        items: Sequence[Item],
        load: Callable[[Item], tuple[UInt8Array, int]],
        image_shape: Shape,
    ) -> None:
        self._items, self._load, self.image_shape = items, load, image_shape
        self.decode_threads = usable_cpus() or 1
        self._pool = ThreadPoolExecutor(self.decode_threads, "decode")

    def __len__(self) -> int:
        return len(self._items)

    def take(self, rows: Iterable[int]) -> tuple[UInt8Array, Int32Array]:
        """Return images uint8 [n, height, width, channels] and labels int32 [n].

        Raises:
            DataUnusable: If one of them is damaged.
        """
        found = list(self._pool.map(self._load, [self._items[row] for row in rows]))
        images = np.stack([image for image, _ in found])
        return images, np.asarray([label for _, label in found], np.int32)


@dataclass(frozen=True, slots=True)
class Album:
    """Both parts of a data set, its digests, and the number of its classes, where it is known."""

    source: str
    train: Decoded[Any]
    test: Decoded[Any] | None
    sha256: Mapping[str, str]
    classes: int | None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads and decodes one example.

    Attributes:
        shape: Height, width and channels of the result.
        classes: Labels must lie below.
        expected: Digest by path below the folder, for what must be checked when it is read.
        folder: Which that is.
    """

    shape: Shape
    classes: int
    expected: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path()

    def picture(self, item: tuple[Path, int]) -> tuple[UInt8Array, int]:
        path, label = item
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataUnusable(f"{path}: can't be read: {error}") from error
        if self.expected:
            self._check(path, content)
        return self._decode(content, path), label

    def record(self, record: Record) -> tuple[UInt8Array, int]:
        try:
            found = example.parse(tfrecord.read(record))
        except ValueError as error:
            raise DataUnusable(f"{record}: no tf.train.Example: {error}") from error
        images, labels = found.texts.get(IMAGE_KEY), found.integers.get(LABEL_KEY)
        if not images or not labels:
            missing = LABEL_KEY if images else IMAGE_KEY
            raise DataUnusable(f"{record}: has no {missing}")
        if not 0 <= labels[0] < self.classes:
            raise DataUnusable(
                f"{record}: its label {labels[0]} lies outside 0 to {self.classes - 1}",
                fix="give --classes one more than the greatest label; ImageNet's TFRecord files "
                "count from 1 and need 1001",
            )
        return self._decode(images[0], record), labels[0]

    def _decode(self, content: bytes, where: object) -> UInt8Array:
        return pictures.decode(content, where, size=self.shape[0], channels=self.shape[2])

    def _check(self, path: Path, content: bytes) -> None:
        name = path.relative_to(self.folder).as_posix()
        digest, listed = hashlib.sha256(content).hexdigest(), self.expected.get(name)
        if listed is None:
            raise DataUnusable(f"{path}: {name} is not in the list of checksums")
        if listed != digest:
            raise DataUnusable(f"{path}: SHA-256 is {digest}, expected {listed}")


def shards(path: Path) -> list[Path]:
    """Return the TFRecord files at `path`, a file or a folder, by name; none if it has none."""
    if path.is_file():
        return [path] if _SHARD.fullmatch(path.name) else []
    if not path.is_dir():
        return []
    return sorted(each for each in path.iterdir() if _SHARD.fullmatch(each.name))


def is_image_folder(path: Path) -> bool:
    """Return whether a folder has class folders, in itself or below `train`."""
    base = path / "train" if (path / "train").is_dir() else path
    return base.is_dir() and bool(_class_folders(base))


def load_records(path: Path, checksum_list: Path | None, shape: Shape, classes: int) -> Album:
    """Return the examples of TFRecord files, read on demand.

    Raises:
        DataUnusable: If a file is damaged, or has another checksum than listed.
    """
    files = shards(path)
    digests = {"file list": _listing(files, path)}
    if checksum_list is not None:
        digests = _verified(files, checksums.read_list(checksum_list))
    test = [each for each in files if each.name.startswith(TEST_FILES)]
    reader = _Reader(shape, classes)

    def part(chosen: Iterable[Path]) -> Decoded[Record]:
        records = [record for each in chosen for record in tfrecord.index(each)]
        return Decoded(records, reader.record, shape)

    train = part(each for each in files if each not in test)
    return Album("tfrecord", train, part(test) if test else None, digests, None)


def load_folder(path: Path, checksum_list: Path | None, shape: Shape, classes: int) -> Album:
    """Return the images of a folder with one subfolder per class, read on demand.

    Raises:
        DataUnusable: If there are more classes than the model has, a class without images, or
            a test class that is no training class.
    """
    base = path / "train" if (path / "train").is_dir() else path
    names = _class_folders(base)
    if len(names) > classes:
        raise DataUnusable(
            f"{base}: holds {len(names)} classes, but the model was asked for with {classes}",
            fix=f"give --classes {len(names)}",
        )
    train = _images(base, names)
    test_base = next((path / each for each in TEST_FOLDERS if (path / each).is_dir()), None)
    test = None if test_base is None or base == path else _images(test_base, names)
    expected = {} if checksum_list is None else checksums.read_list(checksum_list, paths=True)
    reader = _Reader(shape, classes, expected, path)
    listing = _listing([each for each, _ in [*train, *(test or [])]], path)
    return Album(
        "images",
        Decoded(train, reader.picture, shape),
        Decoded(test, reader.picture, shape) if test else None,
        {"file list": listing},
        len(names),
    )


def _class_folders(base: Path) -> list[str]:
    return sorted(each.name for each in base.iterdir() if each.is_dir() and each.name[0] != ".")


def _images(base: Path, names: Sequence[str]) -> list[tuple[Path, int]]:
    unknown = sorted(set(_class_folders(base)) - set(names))
    if unknown:
        raise DataUnusable(f"{base / unknown[0]}: there is no such class among the training images")
    found = []
    for label, name in enumerate(names):
        paths = sorted(_pictures(base / name))
        if not paths:
            raise DataUnusable(f"{base / name}: holds no JPEG or PNG image")
        found += [(each, label) for each in paths]
    return found


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [
            folder / entry.name
            for entry in entries
            if Path(entry.name).suffix.lower() in pictures.SUFFIXES
        ]


def _listing(files: Sequence[Path], base: Path) -> str:
    """Return the SHA-256 over names and sizes: it tells data sets apart without reading them."""
    digest = hashlib.sha256()
    for each in files:
        name = each.name if each == base else each.relative_to(base).as_posix()
        digest.update(f"{each.stat().st_size} {name}\n".encode())
    return digest.hexdigest()


def _verified(files: Sequence[Path], expected: Mapping[str, str]) -> dict[str, str]:
    digests = {}
    for path in files:
        with path.open("rb") as file:
            digests[path.name] = checksums.verify(file, path, expected)
    return digests
