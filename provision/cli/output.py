"""stdout is data, stderr is everything else; both survive odd terminals and closed pipes."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import click
from rich.console import Console, RenderableType
from rich.text import Text


def prepare_streams() -> None:
    """Make reading and printing safe: no locale and no closed stream is an error."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - open as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _write(text: str) -> None:
    """Write to stdout. A reader that has hung up (`| head`) doesn't stop the work."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _lead_nowhere(sys.stdout)
    except OSError:
        _lead_nowhere(sys.stdout)
        raise


def give_up_stdout() -> None:
    """Lose what stdout could not take, so that the end of the process says nothing more of it."""
    try:
        sys.stdout.flush()
    except OSError:
        _lead_nowhere(sys.stdout)


def _lead_nowhere(stream: TextIO) -> None:
    """Lose what is written from here on, so that neither print nor exit fails again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def unheard() -> Iterator[None]:
    """Let the block write to stderr though nobody reads it, or the disk of a log is full.

    What is said there is no data: the work goes on, and the exit code tells how it ended.
    """
    try:
        yield
    except OSError:
        _lead_nowhere(sys.stderr)


def show(what: RenderableType) -> None:
    """Print text or a table on stdout, in colour where stdout is a terminal."""
    _write(_rendered(what, sys.stdout))


def _rendered(what: RenderableType, stream: TextIO) -> str:
    """Return the text for a stream; rich itself ends the process where nobody reads it."""
    buffer = io.StringIO()
    # What a program reads is not folded.
    width = None if stream.isatty() else 1000
    console = Console(file=buffer, force_terminal=stream.isatty(), width=width)
    console.print(what, highlight=False, markup=False, soft_wrap=isinstance(what, str | Text))
    return buffer.getvalue()


def write_line(text: str) -> None:
    """Print one line on stdout as it is."""
    _write(f"{text}\n")


def show_on_stderr(what: RenderableType) -> None:
    """Print text or a table that is no data."""
    with unheard():
        sys.stderr.write(_rendered(what, sys.stderr))
        sys.stderr.flush()


def show_json(document: Any) -> None:
    """Print a JSON document on stdout, in ASCII, so that any locale can carry it."""
    _write(json.dumps(document, indent=2) + "\n")


def say(text: str) -> None:
    """Tell the person something that is no data, on stderr."""
    with unheard():
        click.echo(text, err=True)
