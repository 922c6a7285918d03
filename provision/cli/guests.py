"""The stages inside the guests, as several commands share them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provision.bench.results import read_results
from provision.bench.schedule import Benched, bench
from provision.cli.output import say, show
from provision.errors import PartlyDone, UsageError, VdlError
from provision.guests.configure import Guests, Settings, configure, reach_guests, state_folder
from provision.guests.events import Event, EventKind, HostResult, PlaybookResult
from provision.spec.model import Lab

if TYPE_CHECKING:
    from provision.vsphere.vcenter import VCenter

# Ansible's own task before each role; the role `benchmark`'s task with one round per run.
ARGUMENT_CHECK = "Validating arguments"
MEASURE = "Measure"


@dataclass(frozen=True, slots=True)
class Stage:
    """A lab whose guests are ready to be worked on, and how."""

    lab: Lab
    guests: Guests
    settings: Settings


def open_stage(
    lab_file: Path, lab: Lab, vcenter: VCenter, payload_python: str | None = None
) -> Stage:
    """Read where the guests are and which host keys they publish; contact none yet."""
    state = state_folder(lab_file, lab)
    snapshot = vcenter.snapshot(lab)
    guests = reach_guests(
        lab, snapshot.vms, state, hosts=snapshot.hosts, simulated=snapshot.vcenter.simulated
    )
    for name in guests.renewed:
        say(f"{name} was built anew: its new host key replaces the old one")
    return Stage(lab, guests, Settings(state=state, payload_python=payload_python))


def configure_stage(stage: Stage) -> PlaybookResult:
    """Run `site.yml`, telling each task as it begins.

    Raises:
        UsageError: The lab has no machine yet.
        PartlyDone: Some machines failed.
        VdlError: All did.
    """
    if not stage.guests.inventory["_meta"]["hostvars"] and not stage.guests.left_out:
        raise UsageError(
            "the lab has no machine to configure", subject=stage.lab.lab, fix="run `vdl provision`"
        )
    result = configure(stage.guests, stage.settings, on_event=tell)
    judge(result, "configured")
    return result


def bench_stage(stage: Stage, results: Path) -> Benched:
    """Run the benchmarks. What failed is in the result: the rest has been measured."""
    benched = bench(stage.lab, stage.guests, stage.settings, results, on_event=tell)
    say(f"results: {benched.folder}")
    return benched


def report_stage(run: Path) -> Path:
    """Print the comparison and write the page; return its path."""
    # Drawing takes matplotlib, which takes a second to import.
    from provision.bench.compare import compare  # noqa: PLC0415
    from provision.report.page import write_report  # noqa: PLC0415
    from provision.report.table import render  # noqa: PLC0415

    results = read_results(run)
    show(render(compare(results)))
    return write_report(results, run)


def tell(event: Event) -> None:
    """Say what a person would want to know of an event while it happens."""
    match event.kind:
        case EventKind.TASK if not (event.task or "").startswith(ARGUMENT_CHECK):
            say(f"  {event.role}: {event.task}" if event.role else f"  {event.task}")
        case EventKind.FAILED | EventKind.UNREACHABLE if not event.ignored:
            say(f"    {event.host} {event.kind.value}: {event.message}")
        case EventKind.ITEM_OK | EventKind.ITEM_FAILED if event.task == MEASURE:
            say(f"    {event.host} {event.item}: {event.kind.value.removeprefix('item_')}")


def judge(result: PlaybookResult, done: str) -> None:
    """Raise where machines failed, and name each with its task.

    Raises:
        PartlyDone: Some machines failed.
        VdlError: All did.
    """
    if result.done:
        return
    failed = result.failed
    kind = PartlyDone if len(failed) < len(result.hosts) else VdlError
    raise kind(
        f"{len(failed)} of {len(result.hosts)} machines could not be {done}",
        why="; ".join(_why(host) for host in failed),
        fix=f"read {result.log}, then run the same command again"
        if result.log
        else "`vdl status` shows what vCenter knows of them",
    )


def _why(host: HostResult) -> str:
    """Return machine, task and message; a machine that was never reached has no task."""
    return ": ".join(part for part in (host.name, host.failed_task, host.message) if part)
