"""`vdl provision`: create and update the machines of a lab."""

from __future__ import annotations

import json
from pathlib import Path

import click

from provision.cli.connect import vcenter_of
from provision.cli.flow import Consent, provision
from provision.cli.options import (
    Agreed,
    VCenterOptions,
    agreement_options,
    lab_argument,
    log_file_option,
    output_option,
    parallel_option,
    vcenter_options,
    yes_option,
)
from provision.cli.output import show_json
from provision.cli.results import result_json
from provision.errors import UsageError
from provision.spec.reader import load_lab


@click.command("provision")
@lab_argument
@yes_option
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path),
    help="JSON of `vdl plan -o json`: go on only if the world is still as it was then.",
)
@agreement_options
@click.option("--keep-failed", is_flag=True, help="Leave what a failed create made, for a look.")
@parallel_option
@log_file_option
@output_option
@vcenter_options
def command(  # noqa: PLR0913 - one argument per option
    *,
    lab_file: Path,
    yes: bool,
    plan_file: Path | None,
    agreed: Agreed,
    keep_failed: bool,
    parallel: int,
    log_file: Path | None,
    output: str,
    vcenter: VCenterOptions,
) -> None:
    """Create and update the machines of a lab. Shows the plan and asks first.

    Safe to repeat, and to interrupt: what is done is found again by its owner stamp.
    """  # fmt: skip
    lab = load_lab(lab_file)
    consent = Consent(yes, agreed, _fingerprint(plan_file) if plan_file else None)
    with vcenter_of(lab, vcenter) as connection:
        result = provision(
            lab, connection, consent,
            lab_file=lab_file, parallel=parallel, keep_failed=keep_failed, log_file=log_file,
        )  # fmt: skip
    if output == "json":
        show_json(result_json(result))
    if error := result.error():
        raise error


def _fingerprint(path: Path) -> str:
    """Return what a saved plan was computed from."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return str(document["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            "this is no saved plan", subject=str(path), why=str(error),
            fix="write one with: vdl plan -o json > plan.json",
        ) from None  # fmt: skip
