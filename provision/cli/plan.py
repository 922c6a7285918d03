"""`vdl plan`: what provision would do, and why."""

from __future__ import annotations

from pathlib import Path

import click

from provision.cli.connect import vcenter_of
from provision.cli.errors import ExitCode
from provision.cli.memory import Memory
from provision.cli.options import (
    Agreed,
    VCenterOptions,
    agreement_options,
    lab_argument,
    output_option,
    vcenter_options,
)
from provision.cli.output import show, show_json, write_line
from provision.plan.gone import gone
from provision.plan.planner import plan as make_plan
from provision.plan.render_json import document
from provision.plan.render_text import next_step, render_text
from provision.spec.reader import load_lab


@click.command("plan")
@lab_argument
@click.option("--check", is_flag=True, help="Exit with 10 where changes are pending.")
@agreement_options
@click.option("--verbose", is_flag=True, help="Show every machine, however many there are.")
@output_option
@vcenter_options
@click.pass_context
def command(
    context: click.Context,
    *,
    lab_file: Path,
    check: bool,
    agreed: Agreed,
    verbose: bool,
    output: str,
    vcenter: VCenterOptions,
) -> None:
    """Show what `vdl provision` would do, and why. Changes nothing."""
    lab = load_lab(lab_file)
    with vcenter_of(lab, vcenter) as connection:
        plan = make_plan(
            lab, connection.snapshot(lab),
            allow_shrink=agreed.allow_shrink, allow_restart=agreed.allow_restart,
        )  # fmt: skip
        stood = Memory.of(lab_file, lab, connection.identity.instance_uuid).stood()
        plan = plan.with_findings(gone(plan, stood, allow_recreate=agreed.allow_recreate))
        if agreed.checks:
            plan = connection.checked(plan)
    if output == "json":
        show_json(document(plan))
    else:
        show(render_text(plan, verbose=verbose))
        write_line(next_step(plan))
    if plan.blocked:
        context.exit(ExitCode.BLOCKED)
    if check and plan.pending:
        context.exit(ExitCode.CHANGES_PENDING)
