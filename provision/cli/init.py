"""`vdl init`: a commented lab file to start from."""

from __future__ import annotations

from pathlib import Path

import click

from provision.cli.options import lab_argument
from provision.cli.output import say
from provision.errors import UsageError
from provision.spec.starter import STARTER


@click.command("init")
@lab_argument
def command(lab_file: Path) -> None:
    """Write a commented lab.yaml to start from; an existing file is left alone."""
    try:
        _write_new(lab_file, STARTER)
    except FileExistsError:
        raise UsageError(
            "the file exists and was left alone", subject=str(lab_file), fix="name another file"
        ) from None
    except OSError as error:
        raise UsageError(
            "the file can't be written", subject=str(lab_file), why=error.strerror,
            fix="name a file in a folder that exists and that you may write to",
        ) from None  # fmt: skip
    say(f"wrote {lab_file}; edit it, then run: vdl plan {lab_file}")


def _write_new(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except OSError:
            path.unlink()  # half a file would be in the way of the next try
            raise
