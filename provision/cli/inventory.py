"""`vdl inventory`: the Ansible inventory of a lab."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml
from rich.table import Table

from provision.cli.connect import vcenter_of
from provision.cli.guests import open_stage
from provision.cli.options import VCenterOptions, lab_argument, vcenter_options
from provision.cli.output import say, show, show_json, write_line
from provision.errors import UsageError
from provision.guests.configure import Guests
from provision.guests.inventory import ALL_MACHINES, static_inventory
from provision.spec.reader import load_lab

COLUMNS = ("ansible_host", "ansible_port", "vdl_gpu_mode", "vdl_host")
GPU = ("vdl_gpu_profile", "vdl_gpu_group", "vdl_gpu_model")


@click.command("inventory")
@lab_argument
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "yaml"]),
    default="text",
    show_default=True,
    help="What to print on stdout; yaml is an inventory file, json what a script answers.",
)
@click.option(
    "--list",
    "listed",
    is_flag=True,
    help="What Ansible asks inventory scripts for: the same as -o json.",
)
@click.option("--host", "name", metavar="NAME", help="The variables of one machine, as JSON.")
@vcenter_options
def command(
    *, lab_file: Path, output: str, listed: bool, name: str | None, vcenter: VCenterOptions
) -> None:
    """Print the Ansible inventory of a lab.

    With --list and --host it answers as Ansible's inventory scripts do.
    """  # fmt: skip
    lab = load_lab(lab_file)
    with vcenter_of(lab, vcenter) as connection:
        guests = open_stage(lab_file, lab, connection, patient=False).guests
    for machine, reason in guests.left_out.items():
        say(f"left out: {machine}: {reason}")
    if name is not None:
        show_json(_variables(guests, name))
    elif listed or output == "json":
        show_json(guests.inventory)
    elif output == "yaml":
        text = yaml.safe_dump(static_inventory(guests.inventory), sort_keys=False)
        write_line(text.rstrip())
    else:
        show(_table(guests))


def _variables(guests: Guests, name: str) -> dict[str, Any]:
    """Return all variables of a machine.

    Raises:
        UsageError: The inventory has no such machine.
    """
    known = guests.inventory["_meta"]["hostvars"]
    if name not in known:
        raise UsageError(
            f"no such machine: {name!r}", subject=guests.lab.lab,
            why=guests.left_out.get(name),
            fix=f"name one of: {', '.join(known) or 'none can be reached'}",
        )  # fmt: skip
    shared: dict[str, Any] = guests.inventory[ALL_MACHINES].get("vars", {})
    return {**shared, **known[name]}


def _table(guests: Guests) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("machine", "address", "port", "GPU mode", "host", "GPU"):
        table.add_column(title)
    for name, known in guests.machines.items():
        gpu = next((str(known[word]) for word in GPU if word in known), "")
        table.add_row(name, *(str(known.get(column, "")) for column in COLUMNS), gpu)
    return table
