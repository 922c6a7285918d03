"""Reads a lab file: everything that is wrong with it, or a `Lab`."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path

from pydantic import ValidationError

from provision.errors import UsageError
from provision.spec import document as yaml_document
from provision.spec.document import Document, Unreadable
from provision.spec.model import Lab
from provision.spec.problems import LabFileError, Problem
from provision.spec.translate import translate

# Nobody reads more, and finding the nearest key for each would take a hostile file's time.
MOST_PROBLEMS = 1_000


def load_lab(path: Path) -> Lab:
    """Read and check a lab file, and the public key that it names.

    Raises:
        LabFileError: It has mistakes; the error lists them all (a thousand at most).
        UsageError: There is no such file, or it can't be read.
    """
    try:
        document = yaml_document.read(_content(path))
    except Unreadable as error:
        raise LabFileError(str(path), [error.problem]) from None
    if not isinstance(document.value, dict):
        empty = document.value is None
        message = "the file is empty" if empty else "a lab file is a mapping of keys to values"
        raise LabFileError(str(path), [Problem(1, 1, "", message)])
    return _validated(document, path)


def _validated(document: Document, path: Path) -> Lab:
    try:
        lab = Lab.model_validate(document.value, context={"base": path.resolve().parent})
    except ValidationError as error:
        problems = islice(chain(document.problems, translate(error, document)), MOST_PROBLEMS)
        raise LabFileError(str(path), problems) from None
    if document.problems:
        raise LabFileError(str(path), document.problems)
    return lab


def _content(path: Path) -> bytes:
    """Return the file's content, at most a little more than may be read."""
    if not path.is_file():
        # A pipe or a device would be read for ever.
        why = "it is no regular file" if path.exists() else "there is no such file"
        raise UsageError(
            "can't read the lab file",
            subject=str(path),
            why=why,
            fix="name another one, or write one with `vdl init`",
        )
    try:
        with path.open("rb") as stream:
            return stream.read(yaml_document.LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(
            "can't read the lab file", subject=str(path), why=error.strerror
        ) from error
