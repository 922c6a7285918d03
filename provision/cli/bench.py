"""`vdl bench`: train in the machines and keep what was measured."""

from __future__ import annotations

from pathlib import Path

import click

from provision.cli.connect import vcenter_of
from provision.cli.guestoptions import GuestOptions, guest_options
from provision.cli.guestresults import bench_json
from provision.cli.guests import bench_stage, choose, judge, open_stage
from provision.cli.options import (
    VCenterOptions,
    lab_argument,
    output_option,
    results_option,
    vcenter_options,
)
from provision.cli.output import say, show_json, write_line
from provision.guests.runs import RunKind
from provision.spec.reader import load_lab


@click.command("bench")
@lab_argument
@results_option
@click.option(
    "--distributed",
    is_flag=True,
    help="Train on all machines of each group together, too, as if the lab file said so.",
)
@guest_options(choice=True)
@output_option
@vcenter_options
def command(
    *,
    lab_file: Path,
    results_dir: Path,
    distributed: bool,
    guest: GuestOptions,
    output: str,
    vcenter: VCenterOptions,
) -> None:
    """Run the lab's benchmarks, one machine at a time; print the folder of the results.

    Each machine proves its GPU mode first; a result without that proof is marked invalid.
    """
    lab = load_lab(lab_file)
    with vcenter_of(lab, vcenter) as connection:
        stage = open_stage(lab_file, lab, connection, guest)
    chosen = choose(stage, guest, RunKind.BENCH)
    if chosen is None:
        if output == "json":
            show_json(bench_json(lab.lab, None))
        return
    benched = bench_stage(chosen, results_dir, distributed=distributed)
    if output == "json":
        show_json(bench_json(lab.lab, benched))
    else:
        write_line(str(benched.folder))
    judge(benched.playbook, RunKind.BENCH)
    say("next: vdl report")
