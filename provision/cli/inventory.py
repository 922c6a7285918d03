"""`vdl inventory`: the Ansible inventory of a lab."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from provision.cli.connect import vcenter_of
from provision.cli.guests import open_stage
from provision.cli.options import VCenterOptions, lab_argument, output_option, vcenter_options
from provision.cli.output import say, show, show_json
from provision.guests.configure import Guests
from provision.spec.reader import load_lab

COLUMNS = ("ansible_host", "ansible_port", "vdl_gpu_mode", "vdl_gpu_profile", "vdl_host")


@click.command("inventory")
@lab_argument
@output_option
@vcenter_options
def command(*, lab_file: Path, output: str, vcenter: VCenterOptions) -> None:
    """Print the Ansible inventory of a lab; as JSON in the shape of `ansible-inventory --list`."""
    lab = load_lab(lab_file)
    with vcenter_of(lab, vcenter) as connection:
        guests = open_stage(lab_file, lab, connection).guests
    for machine, reason in guests.left_out.items():
        say(f"left out: {machine}: {reason}")
    if output == "json":
        show_json(guests.inventory)
    else:
        show(_table(guests))


def _table(guests: Guests) -> Table:
    hostvars: dict[str, dict[str, Any]] = guests.inventory["_meta"]["hostvars"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("machine", "address", "port", "GPU mode", "GPU", "host"):
        table.add_column(title)
    for name, known in hostvars.items():
        table.add_row(name, *(str(known.get(column, "")) for column in COLUMNS))
    return table
