"""What the payload's tests share: small data files, and the schema of the document."""

import gzip
import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from payload.document import SCHEMA_FILE

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def _idx_bytes(array: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    head = struct.pack(">HBB", 0, 8, array.ndim)
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def write_checksums(tmp_path: Path) -> Callable[[Path], Path]:
    """List the files of a folder in the format of sha256sum."""

    def write(folder: Path) -> Path:
        lines = [
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
            for path in sorted(folder.iterdir())
        ]
        sums = tmp_path / "SHA256SUMS"
        sums.write_text("".join(lines))
        return sums

    return write


@pytest.fixture
def arrays() -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Training images and labels, test images and labels."""
    random = np.random.default_rng(5)
    return [
        random.integers(0, 256, (40, 28, 28), dtype=np.uint8),
        random.integers(0, 10, 40, dtype=np.uint8),
        random.integers(0, 256, (12, 28, 28), dtype=np.uint8),
        random.integers(0, 10, 12, dtype=np.uint8),
    ]


@pytest.fixture
def idx_folder(
    tmp_path: Path, arrays: list[np.ndarray[Any, np.dtype[np.uint8]]]
) -> Callable[..., Path]:
    """Write the arrays as IDX files into a folder below tmp_path."""

    def write(name: str = "data", *, packed: bool = False) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for file, array in zip(IDX_NAMES, arrays, strict=True):
            content = _idx_bytes(array)
            if packed:
                (folder / f"{file}.gz").write_bytes(gzip.compress(content, mtime=0))
            else:
                (folder / file).write_bytes(content)
        return folder

    return write


@pytest.fixture
def checked() -> Callable[[Path], dict[str, Any]]:
    """Read a document and hold it against the schema."""
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )

    def check(path: Path) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(path.read_text())
        validator.validate(document)
        return document

    return check
