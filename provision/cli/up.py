"""`vdl up`: from a lab file to the comparison, in one go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from provision.cli.connect import vcenter_of
from provision.cli.flow import Consent, provision
from provision.cli.guestoptions import NOTHING_SAID, GuestOptions, guest_options
from provision.cli.guests import bench_stage, configure_stage, judge, open_stage, report_stage
from provision.cli.options import (
    Agreed,
    VCenterOptions,
    agreement_options,
    lab_argument,
    log_file_option,
    parallel_option,
    results_option,
    vcenter_options,
    yes_option,
)
from provision.cli.output import say
from provision.guests.runs import RunKind
from provision.spec.reader import load_lab

BEFORE_THE_GATE = ("base", "driver", "licence", "nvlink", "payload")


@click.command("up")
@lab_argument
@yes_option
@agreement_options
@parallel_option
@log_file_option
@results_option
@guest_options(choice=False)
@vcenter_options
def command(
    *,
    lab_file: Path,
    yes: bool,
    agreed: Agreed,
    parallel: int,
    log_file: Path | None,
    results_dir: Path,
    guest: GuestOptions,
    vcenter: VCenterOptions,
) -> None:
    """Provision, configure, bench and report in one go. Stops where a stage fails."""
    consent = Consent(yes, agreed)
    run_all(lab_file, vcenter, results_dir, consent, parallel, guest, log_file=log_file)


def run_all(
    lab_file: Path,
    options: VCenterOptions,
    results_dir: Path,
    consent: Consent,
    parallel: int,
    guest: GuestOptions = NOTHING_SAID,
    *,
    log_file: Path | None = None,
) -> Path:
    """Go all the way; return the path of the report's page.

    Raises:
        VdlError: A stage failed; the error says which, and what to do.
    """
    lab = load_lab(lab_file)
    say("== provision")
    with vcenter_of(lab, options) as connection:
        result = provision(
            lab, connection, consent,
            lab_file=lab_file, parallel=parallel, log_file=log_file,
        )  # fmt: skip
        if error := result.error():
            raise error
        stage = open_stage(lab_file, lab, connection, guest)
    say("== configure")
    # The gate comes with the benchmark, so the machines need not pass it twice.
    parts = replace(stage.settings, tags=BEFORE_THE_GATE, forks=parallel)
    judge(configure_stage(replace(stage, settings=parts)), RunKind.CONFIGURE)
    say("== bench")
    benched = bench_stage(stage, results_dir)
    if benched.playbook.interrupted:
        judge(benched.playbook, RunKind.BENCH)
    say("== report")
    page = report_stage(benched.folder)
    say(f"report: {page}")
    judge(benched.playbook, RunKind.BENCH)
    return page
