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

from payload import checksums, idx
from payload.errors import DataUnusable

ARCHIVE = "mnist.npz"
TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
FOLDERS = (".", "MNIST/raw", "raw")
"""Where the files may lie below the folder that is named; the second is torchvision's layout."""

Part = tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.int32]]]


@dataclass(frozen=True, slots=True)
class Found:
    """Images and labels of both parts, the path they were read at, digest by file name."""

    source: str
    path: Path
    sha256: Mapping[str, str]
    train: Part
    test: Part


def load(path: Path, checksum_list: Path | None) -> Found:
    """Read the data at `path`, a folder or an npz archive.

    Raises:
        DataUnusable: If a file is missing, damaged, or has another checksum than expected.
    """
    source = "mnist" if checksum_list is None else "files"
    expected = checksums.MNIST if checksum_list is None else checksums.read_list(checksum_list)
    location = locate(path)
    try:
        if location.is_dir():
            paths = [idx_path(location, name) for name in (*TRAIN, *TEST)]
            arrays, digests = _read_idx_files(paths, expected)
        else:
            arrays, digests = _read_archive(location, expected)
    except OSError as error:
        raise DataUnusable(f"{location}: can't be read: {error}") from error
    train, test = _part(arrays[0], arrays[1], location), _part(arrays[2], arrays[3], location)
    return Found(source, location, digests, train, test)


def locate(path: Path) -> Path:
    """Return the archive, or the folder that holds the IDX files.

    Raises:
        DataUnusable: If neither is there.
    """
    if path.is_file():
        return path
    for folder in (path / below for below in FOLDERS):
        if _with_gz(folder, TRAIN[0]):
            return folder
        if (folder / ARCHIVE).is_file():
            return folder / ARCHIVE
    if not path.exists():
        raise DataUnusable(f"{path}: no such file or folder")
    raise DataUnusable(
        f"{path}: holds neither {TRAIN[0]}, plain or .gz, nor {ARCHIVE}",
        fix="name the folder with MNIST's four files, or an npz archive",
    )


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


def _part(images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], path: Path) -> Part:
    if images.dtype != np.uint8 or images.ndim not in {3, 4}:
        raise DataUnusable(
            f"{path}: images are {images.dtype} in {images.ndim} dimensions, "
            "not uint8 [n, height, width] or [n, height, width, channels]"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        raise DataUnusable(
            f"{path}: labels are {labels.dtype} {labels.shape}, "
            f"not one integer for each of {len(images)} images"
        )
    with_channels = images if images.ndim == 4 else images[..., None]  # noqa: PLR2004 [n,h,w,c]
    return with_channels, labels.astype(np.int32)
