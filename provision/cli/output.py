"""stdout is data, stderr is everything else; both survive odd terminals and closed pipes."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.text import Text


def prepare_streams() -> None:
    """Make printing safe: no locale can make a character an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _write(text: str) -> None:
    """Write to stdout. A reader that has hung up (`| head`) doesn't stop the work."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # From here on stdout leads nowhere, so that neither print nor exit fails again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(what: RenderableType) -> None:
    """Print text or a table on stdout, in colour where stdout is a terminal."""
    buffer = io.StringIO()
    width = None if sys.stdout.isatty() else 120
    console = Console(file=buffer, force_terminal=sys.stdout.isatty(), width=width)
    console.print(what, highlight=False, markup=False, soft_wrap=isinstance(what, str | Text))
    _write(buffer.getvalue())


def write_line(text: str) -> None:
    """Print one line on stdout as it is."""
    _write(f"{text}\n")


def show_on_stderr(what: RenderableType) -> None:
    """Print text or a table that is no data."""
    console = Console(stderr=True)
    console.print(what, highlight=False, markup=False, soft_wrap=isinstance(what, str | Text))


def show_json(document: Any) -> None:
    """Print a JSON document on stdout, in ASCII, so that any locale can carry it."""
    _write(json.dumps(document, indent=2) + "\n")


def say(text: str) -> None:
    """Tell the person something that is no data, on stderr."""
    click.echo(text, err=True)
