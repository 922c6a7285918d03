"""`vdl simulator`: a simulated vCenter with GPUs, for rehearsals and for tests."""

from __future__ import annotations

import json
import signal
import threading
from dataclasses import asdict
from pathlib import Path

import click

from provision.cli.options import output_option
from provision.cli.output import say, write_line


@click.command("simulator")
@click.argument("world", required=False, type=click.Path(path_type=Path))
@click.option(
    "--listen",
    default="127.0.0.1:0",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to serve; port 0 takes a free one.",
)
@output_option
def command(*, world: Path | None, listen: str, output: str) -> None:
    """Serve a simulated vCenter with GPUs until Ctrl-C or SIGTERM.

    WORLD is a world file (see docs/simulator.md); without it a small example is served. vdl,
    govc, pyVmomi and anything else that speaks vSphere's SOAP API can use it.
    """  # fmt: skip
    # Loads pyVmomi's types, so not before the options are known to be right.
    from provision.simulator.server import Simulator  # noqa: PLC0415

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with Simulator.from_file(world) as simulator:
        door = asdict(simulator.serve(listen))
        if output == "json":
            write_line(json.dumps(door))
        else:
            _tell(door)
        ended.wait()


def _tell(door: dict[str, str]) -> None:
    say(f"a simulated vCenter answers at {door['url']}; Ctrl-C ends it. In another shell:\n")
    for name in ("server", "username", "password_file", "ca_file"):
        write_line(f"export VDL_{name.upper()}={door[name]}")
