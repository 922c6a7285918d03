"""`vdl bench`: train in the machines and keep what was measured."""

from __future__ import annotations

from pathlib import Path

import click

from provision.cli.connect import vcenter_of
from provision.cli.guests import bench_stage, judge, open_stage
from provision.cli.options import (
    VCenterOptions,
    lab_argument,
    payload_python_option,
    results_option,
    vcenter_options,
)
from provision.cli.output import say, write_line
from provision.spec.reader import load_lab


@click.command("bench")
@lab_argument
@results_option
@payload_python_option
@vcenter_options
def command(
    *, lab_file: Path, results_dir: Path, payload_python: str | None, vcenter: VCenterOptions
) -> None:
    """Run the lab's benchmarks, one machine at a time; print the folder of the results.

    Each machine proves its GPU mode first; a result without that proof is marked invalid.
    """
    lab = load_lab(lab_file)
    with vcenter_of(lab, vcenter) as connection:
        stage = open_stage(lab_file, lab, connection, payload_python)
    benched = bench_stage(stage, results_dir)
    write_line(str(benched.folder))
    judge(benched.playbook, "measured")
    say("next: vdl report")
