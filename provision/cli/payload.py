"""`vdl payload`: the payload as one file, for machines without vdl."""

from __future__ import annotations

from pathlib import Path

import click

from provision.cli.output import say, write_line
from provision.guests.zipapp import write_zipapp


@click.command("payload")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
def command(*, file: Path | None) -> None:
    """Write the payload as one FILE that runs on any machine with TensorFlow.

    FILE is ./payload.pyz where it is not named. The same vdl writes the same file to the last bit.
    """
    target = file or Path("payload.pyz")
    digest = write_zipapp(target)
    write_line(f"{digest}  {target}")
    say(f"next, on any machine with TensorFlow: python3 {target.name} --self-test")
