"""`vdl configure`: run the playbooks in the machines."""

from __future__ import annotations

from pathlib import Path

import click

from provision.cli.connect import vcenter_of
from provision.cli.guests import configure_stage, open_stage
from provision.cli.options import (
    VCenterOptions,
    lab_argument,
    output_option,
    payload_python_option,
    vcenter_options,
)
from provision.cli.output import say, show_json
from provision.guests.events import PlaybookResult
from provision.spec.reader import load_lab

VERSION = 1


@click.command("configure")
@lab_argument
@payload_python_option
@output_option
@vcenter_options
def command(
    *, lab_file: Path, payload_python: str | None, output: str, vcenter: VCenterOptions
) -> None:
    """Run playbooks/site.yml in the machines of a lab. A second run changes nothing."""
    lab = load_lab(lab_file)
    with vcenter_of(lab, vcenter) as connection:
        stage = open_stage(lab_file, lab, connection, payload_python)
    result = configure_stage(stage)
    if output == "json":
        show_json(_json(lab.lab, result))
    else:
        say(f"{len(result.hosts)} machines configured, {result.changed} changes")


def _json(lab: str, result: PlaybookResult) -> dict[str, object]:
    machines = [
        {"machine": host.name, "done": host.done, "changed": host.changed}
        for host in result.hosts.values()
    ]
    return {"version": VERSION, "lab": lab, "machines": machines}
