"""`vdl simulator`: a simulated vCenter with GPUs, for rehearsals and for tests."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict
from pathlib import Path

import click

from provision.cli.options import VCenterOptions, output_option, vcenter_options
from provision.cli.output import say, write_line
from provision.cli.record import record
from provision.errors import UsageError


@click.command("simulator")
@click.argument("world", required=False, type=click.Path(path_type=Path))
@click.option(
    "--listen",
    default="127.0.0.1:0",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to serve; port 0 takes a free one.",
)
@click.option(
    "--record",
    "recording",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Serve nothing; write a world file of the vCenter that --server names.",
)
@click.option(
    "--anonymous", is_flag=True, help="With --record: number all objects, name none of them."
)
@output_option
@vcenter_options
def command(
    *,
    world: Path | None,
    listen: str,
    recording: Path | None,
    anonymous: bool,
    output: str,
    vcenter: VCenterOptions,
) -> None:
    """Serve a simulated vCenter with GPUs until Ctrl-C or SIGTERM.

    WORLD is a world file (see docs/simulator.md); without it a small example is served. vdl,
    govc, pyVmomi and anything else that speaks vSphere's SOAP API can use it.
    With --record, copy a real vCenter into a world file: hosts, cards and who uses them, VMs
    and templates, datastores, networks. No secret is in it, and with --anonymous no name.
    """  # fmt: skip
    if recording is not None:
        if world is not None:
            raise UsageError("a world is served or recorded, not both", fix="leave out WORLD")
        record(recording, vcenter, anonymous=anonymous, output=output)
        return
    if anonymous:
        raise UsageError("--anonymous is about a recording", fix="name its file with --record")
    # Loads pyVmomi's types, so not before the options are known to be right.
    from provision.simulator import worldfile  # noqa: PLC0415
    from provision.simulator.guests.rootfs import is_made  # noqa: PLC0415
    from provision.simulator.server import Simulator  # noqa: PLC0415

    ended = _pipe_of_signals()
    spec = worldfile.read(world)
    if spec.guests in {"nspawn", "qemu"} and os.geteuid() == 0 and not is_made():
        say("making the root file system of the guests, once: that takes a minute or two")
    with Simulator(spec) as simulator:
        door = asdict(simulator.serve(listen))
        if output == "json":
            write_line(json.dumps(door))
        else:
            _tell(door)
        os.read(ended, 1)


def _pipe_of_signals() -> int:
    """Return the end of a pipe that can be read once Ctrl-C or SIGTERM came.

    A handler that sets an event could wait for ever for the event's own lock.
    """
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return ended


def _tell(door: dict[str, str]) -> None:
    say(f"a simulated vCenter answers at {door['url']}; Ctrl-C ends it. In another shell:\n")
    for name in ("server", "username", "password_file", "ca_file"):
        write_line(f"export VDL_{name.upper()}={door[name]}")
