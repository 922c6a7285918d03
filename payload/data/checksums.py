"""Which SHA-256 a data file must have.

MNIST's files and Fashion-MNIST's have the same names, sizes and format: only the checksum tells
them apart. So every file must match a checksum, either the published one of the official name, or
one from a list that the user gives (`--checksums`), which then replaces the published ones. Data
of one's own is used by listing it: `sha256sum * > SHA256SUMS`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path

from payload.errors import DataUnusable

MNIST: Mapping[str, str] = {
    # As distributed by LeCun, Cortes and Burges and mirrored since, compressed and unpacked.
    "train-images-idx3-ubyte.gz": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    # Keras' collection of the same images.
    "mnist.npz": "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
}

_BLOCK = 2**20
_LINE = re.compile(r"(?P<digest>[0-9a-fA-F]{64}) [ *](?P<name>.+)")


def read_list(path: Path, *, paths: bool = False) -> dict[str, str]:
    """Return digest by file name from a list in the format of `sha256sum`.

    With `paths` the keys are the whole paths of the list: images of two classes may share a name.

    Raises:
        DataUnusable: If the list can't be read or a line has another form.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataUnusable(f"{path}: the list of checksums can't be read: {error}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise DataUnusable(f"{path}, line {number}: not a line of sha256sum")
        name = Path(match["name"])
        found[name.as_posix() if paths else name.name] = match["digest"].lower()
    return found


def verify(file: BufferedReader, path: Path, expected: Mapping[str, str]) -> str:
    """Return the SHA-256 of an open file, which is left at its beginning.

    Raises:
        DataUnusable: If nothing is known of a file of this name, or the digest differs.
    """
    if path.name not in expected:
        raise DataUnusable(
            f"{path}: no checksum is known for this file",
            fix="list its SHA-256 in a file and name that with --checksums",
        )
    digest = sha256(file)
    file.seek(0)
    if digest != expected[path.name]:
        raise DataUnusable(
            f"{path}: SHA-256 is {digest}, expected {expected[path.name]}",
            fix="the file is damaged or another data set (Fashion-MNIST has the same names); "
            "fetch it again, or name your own list with --checksums",
        )
    return digest


def sha256(file: BufferedReader) -> str:
    """Return the digest of the rest of a file; hashlib.file_digest needs Python 3.11."""
    seen = hashlib.sha256()
    while block := file.read(_BLOCK):
        seen.update(block)
    return seen.hexdigest()
