"""Data files: MNIST's four IDX files, plain or gzipped, or one npz archive.

An archive holds `x_train`, `y_train`, `x_test` and `y_test`: uint8 images [n, height, width] or
[n, height, width, channels], and integer labels [n].
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from payload.data import checksums, idx, mirror
from payload.errors import DataUnusable

ARCHIVE = "mnist.npz"
TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
FOLDERS = (".", "MNIST/raw", "raw")
"""Where the files may lie below the folder that is named; the second is torchvision's layout."""

Part = tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.int32]]]


@dataclass(frozen=True, slots=True)
class Found:
    """Images and labels of both parts, the path or URL they were read at, digest by file name."""

    source: str
    path: str
    sha256: Mapping[str, str]
    train: Part
    test: Part


def load(path: Path, checksum_list: Path | None) -> Found:
    """Read the data at `path`, a folder or an npz archive.

    Raises:
        DataUnusable: If a file is missing, damaged, or has another checksum than expected.
    """
    source, expected = _expected(checksum_list)
    location = locate(path)
    try:
        if location.is_dir():
            paths = [idx_path(location, name) for name in (*TRAIN, *TEST)]
            arrays, digests = _read_idx_files(paths, expected)
        else:
            arrays, digests = _read_archive(location, expected)
    except OSError as error:
        raise DataUnusable(f"{location}: can't be read: {error}") from error
    return _found(source, str(location), digests, arrays)


def load_mirror(url: str, checksum_list: Path | None) -> Found:
    """Read the data at `url`, a mirror's folder or its npz archive; it is fetched only once.

    Raises:
        DataUnusable: If a file can't be fetched, is damaged, or has another checksum.
    """
    source, expected = _expected(checksum_list)
    folder, _, last = url.rstrip("/").rpartition("/")
    if last.endswith(".npz"):
        arrays, digests = _read_archive(mirror.fetch(folder, last, expected), expected)
    else:
        names = [f"{name}.gz" if f"{name}.gz" in expected else name for name in (*TRAIN, *TEST)]
        paths = [mirror.fetch(url, name, expected) for name in names]
        arrays, digests = _read_idx_files(paths, expected)
    return _found(source, url, digests, arrays)


def _expected(checksum_list: Path | None) -> tuple[str, Mapping[str, str]]:
    """Return the data's name and its digests by file name."""
    if checksum_list is None:
        return "mnist", checksums.MNIST
    return "files", checksums.read_list(checksum_list)


def _found(
    source: str, where: str, digests: dict[str, str], arrays: list[np.ndarray[Any, Any]]
) -> Found:
    train, test = _part(arrays[0], arrays[1], where), _part(arrays[2], arrays[3], where)
    return Found(source, where, digests, train, test)


def locate(path: Path) -> Path:
    """Return the archive, or the folder that holds the IDX files.

    Raises:
        DataUnusable: If neither is there.
    """
    found = _located(path)
    if found is not None:
        return found
    if not path.exists():
        raise DataUnusable(f"{path}: no such file or folder")
    raise DataUnusable(
        f"{path}: holds neither {TRAIN[0]}, plain or .gz, nor {ARCHIVE}, nor folders with images, "
        "nor TFRecord files",
        fix="name the folder with MNIST's four files, an npz archive, or a folder of images",
    )


def is_there(path: Path) -> bool:
    """Return whether `path` is a file, or a folder with IDX files or Keras' archive."""
    return _located(path) is not None


def _located(path: Path) -> Path | None:
    if path.is_file():
        return path
    for folder in (path / below for below in FOLDERS):
        if _with_gz(folder, TRAIN[0]):
            return folder
        if (folder / ARCHIVE).is_file():
            return folder / ARCHIVE
    return None


def idx_path(folder: Path, name: str) -> Path:
    """Return the IDX file called `name`, or its gzipped form, which is preferred.

    Raises:
        DataUnusable: If neither is there.
    """
    found = _with_gz(folder, name)
    if found is None:
        raise DataUnusable(f"{folder}: {name} is missing, plain or .gz")
    return found


def _with_gz(folder: Path, name: str) -> Path | None:
    candidates = (folder / f"{name}.gz", folder / name)
    return next((path for path in candidates if path.is_file()), None)


def _read_idx_files(
    paths: list[Path], expected: Mapping[str, str]
) -> tuple[list[np.ndarray[Any, Any]], dict[str, str]]:
    arrays, digests = [], {}
    for path in paths:
        with path.open("rb") as file:
            digests[path.name] = checksums.verify(file, path, expected)
            arrays.append(idx.parse(_unpacked(file, path), path))
    return arrays, digests


def _unpacked(file: BinaryIO, path: Path) -> bytes:
    if path.suffix != ".gz":
        return file.read()
    try:
        with gzip.open(file) as unpacked:
            return unpacked.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataUnusable(f"{path}: truncated or not gzip: {error}") from error


def _read_archive(
    path: Path, expected: Mapping[str, str]
) -> tuple[list[np.ndarray[Any, Any]], dict[str, str]]:
    names = ("x_train", "y_train", "x_test", "y_test")
    with ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        digest = checksums.verify(file, path, expected)
        try:
            archive = stack.enter_context(np.load(file, allow_pickle=False))
            arrays = [archive[name] for name in names]
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataUnusable(f"{path}: truncated or not an npz archive: {error}") from error
        except (KeyError, TypeError, IndexError) as error:
            raise DataUnusable(f"{path}: does not hold {', '.join(names)}") from error
    return arrays, {path.name: digest}


def _part(images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], where: str) -> Part:
    if images.dtype != np.uint8 or images.ndim not in {3, 4}:
        raise DataUnusable(
            f"{where}: images are {images.dtype} in {images.ndim} dimensions, "
            "not uint8 [n, height, width] or [n, height, width, channels]"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        raise DataUnusable(
            f"{where}: labels are {labels.dtype} {labels.shape}, "
            f"not one integer for each of {len(images)} images"
        )
    with_channels = images if images.ndim == 4 else images[..., None]  # noqa: PLR2004 [n,h,w,c]
    return with_channels, labels.astype(np.int32)
