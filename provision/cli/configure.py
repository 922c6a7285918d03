"""`vdl configure`: run the playbooks in the machines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from provision.cli.connect import vcenter_of
from provision.cli.guestoptions import GuestOptions, guest_options
from provision.cli.guestresults import result_json, result_table
from provision.cli.guests import choose, configure_stage, gates_of, judge, open_stage
from provision.cli.options import VCenterOptions, lab_argument, output_option, vcenter_options
from provision.cli.output import say, show, show_json
from provision.errors import UsageError
from provision.guests.configure import PLAYBOOKS
from provision.guests.events import PlaybookResult
from provision.guests.resources import tags_of
from provision.guests.runs import RunKind
from provision.report.gates import render_gates
from provision.spec.reader import load_lab


@click.command("configure")
@lab_argument
@click.option(
    "--tags",
    multiple=True,
    metavar="TAG",
    help="Only these parts of the playbook, such as base, payload or verify; repeatable.",
)
@click.option("--check", is_flag=True, help="Change nothing, tell what would change.")
@click.option("--diff", is_flag=True, help="Write to the log how files differ.")
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    help="How many machines to work on at a time; else as many as there are, up to 20.",
)
@guest_options(choice=True)
@output_option
@vcenter_options
def command(
    *,
    lab_file: Path,
    tags: tuple[str, ...],
    check: bool,
    diff: bool,
    parallel: int | None,
    guest: GuestOptions,
    output: str,
    vcenter: VCenterOptions,
) -> None:
    """Run playbooks/site.yml in the machines of a lab. A second run changes nothing."""
    parts = _split(tags)
    lab = load_lab(lab_file)
    with vcenter_of(lab, vcenter) as connection:
        stage = open_stage(lab_file, lab, connection, guest)
    chosen = choose(stage, guest, RunKind.CONFIGURE)
    result = PlaybookResult({})
    if chosen is not None:
        settings = replace(chosen.settings, tags=parts, check=check, diff=diff, forks=parallel)
        result = configure_stage(replace(chosen, settings=settings))
    if output == "json":
        show_json(result_json(lab.lab, result))
    else:
        show(result_table(result))
        if gates := gates_of(result):
            show(render_gates(gates))
        made = "would be made" if check else "made"
        say(f"{_count(len(result.hosts), 'machine')}, {_count(result.changed, 'change')} {made}")
    judge(result, RunKind.CONFIGURE)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _split(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tags one by one: like Ansible, take several with commas too.

    Raises:
        UsageError: The playbook has no such tag; Ansible would do nothing, and call it success.
    """
    split = tuple(tag for words in tags for tag in words.split(",") if tag)
    known = tags_of(PLAYBOOKS[RunKind.CONFIGURE])
    if unknown := [tag for tag in split if tag not in known]:
        raise UsageError(
            f"no part of the playbook has the tag {unknown[0]!r}",
            fix=f"name some of: {', '.join(known)}",
        )
    return split
