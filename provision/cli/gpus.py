"""`vdl gpus`: hosts, cards, modes, and what still fits."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table

from provision.cli.connect import vcenter_of
from provision.cli.options import VCenterOptions, lab_argument, output_option, vcenter_options
from provision.cli.output import show, show_json
from provision.plan.fits import GpuRow, fits, gpus_view
from provision.spec.reader import load_lab

VERSION = 1


@click.command("gpus")
@lab_argument
@click.option(
    "--fits",
    "wanted",
    metavar="PROFILE|MODEL",
    help="Count how many more of this vGPU profile or passthrough card fit, per host.",
)
@output_option
@vcenter_options
def command(*, lab_file: Path, wanted: str | None, output: str, vcenter: VCenterOptions) -> None:
    """Show the cards of the lab's cluster: modes, who uses them, and what is free."""  # fmt: skip
    lab = load_lab(lab_file)
    with vcenter_of(lab, vcenter) as connection:
        snapshot = connection.snapshot(lab)
    if wanted:
        _show_fits(wanted, fits(snapshot, wanted), output)
        return
    rows = gpus_view(snapshot)
    if output == "json":
        show_json({"version": VERSION, "cards": [asdict(row) for row in rows]})
    else:
        show(_table(rows))


def _show_fits(wanted: str, counts: tuple[tuple[str, int], ...], output: str) -> None:
    total = sum(count for _, count in counts)
    if output == "json":
        show_json({"version": VERSION, "wanted": wanted, "total": total, "hosts": dict(counts)})
        return
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True)
    table.add_column("host", "total")
    table.add_column(f"more {wanted}", str(total), justify="right")
    for host, count in counts:
        table.add_row(host, str(count))
    show(table)


def _table(rows: tuple[GpuRow, ...]) -> Table:
    """Return a line per card; labels have a column where there are any."""
    labelled = ["label"] if any(row.label for row in rows) else []
    table = Table(box=None, pad_edge=False, header_style="bold")
    modes = ("mode", "vGPU mode", "policy")
    for title in ("host", "address", "model", *labelled, *modes, "used by", "free"):
        table.add_column(title)
    for row in rows:
        label = [row.label or ""] if labelled else []
        set_to = (row.mode.value, row.vgpu_mode.value if row.vgpu_mode else "", row.policy or "")
        used = "\n".join(row.used_by)
        table.add_row(row.host, row.address, row.model, *label, *set_to, used, row.free)
    return table
