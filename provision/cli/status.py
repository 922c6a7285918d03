"""`vdl status`: the machines of a lab as they are."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table

from provision.apply.status import Row, status
from provision.cli.connect import vcenter_of
from provision.cli.options import VCenterOptions, lab_argument, output_option, vcenter_options
from provision.cli.output import show, show_json
from provision.spec.reader import load_lab

VERSION = 1


@click.command("status")
@lab_argument
@output_option
@vcenter_options
def command(*, lab_file: Path, output: str, vcenter: VCenterOptions) -> None:
    """Show the machines of a lab as they are in vCenter now."""
    lab = load_lab(lab_file)
    with vcenter_of(lab, vcenter) as connection:
        rows = status(lab, connection.snapshot(lab))
    if output == "json":
        machines = [asdict(row) for row in rows]
        show_json({"version": VERSION, "lab": lab.lab, "machines": machines})
    else:
        show(_table(rows))


def _table(rows: tuple[Row, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("machine", "state", "host", "GPU", "address", "guest", "path"):
        table.add_column(title)
    for row in rows:
        cells = (row.host, row.gpu, row.address, row.guest, row.path)
        table.add_row(row.machine, row.state.value, *(cell or "" for cell in cells))
    return table
