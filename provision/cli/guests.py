"""The stages inside the guests, as several commands share them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from provision.bench.gates import Gate, gate_of
from provision.bench.jobs import read_jobs
from provision.bench.results import read_results, turned_away
from provision.bench.schedule import Benched, bench
from provision.cli.guestoptions import NOTHING_SAID, GuestOptions
from provision.cli.guestprogress import watching
from provision.cli.guestresults import error_of, failures
from provision.cli.hostkeywait import snapshot_with_keys
from provision.cli.output import say, show
from provision.deadline import Deadline
from provision.errors import UsageError
from provision.guests.baremetal import read_bare_metal
from provision.guests.configure import Guests, Settings, configure, reach_guests, state_folder
from provision.guests.events import PlaybookResult
from provision.guests.firstuse import FirstUse, fingerprints
from provision.guests.runs import Failures, RunKind
from provision.report.gates import doubts
from provision.spec.model import Lab

if TYPE_CHECKING:
    from provision.vsphere.vcenter import VCenter

SECONDS_A_MINUTE = 60.0
SSH_SECONDS = 300.0  # how long machines that are asked for their keys may take to answer
DONE = {RunKind.CONFIGURE: "configured", RunKind.BENCH: "measured"}


@dataclass(frozen=True, slots=True)
class Stage:
    """A lab whose guests are ready to be worked on, and how."""

    lab: Lab
    guests: Guests
    settings: Settings
    deadline: Deadline | None = None


def open_stage(
    lab_file: Path,
    lab: Lab,
    vcenter: VCenter,
    options: GuestOptions = NOTHING_SAID,
    *,
    patient: bool = True,
) -> Stage:
    """Read where the guests are and which host keys they publish.

    If `patient`, keys that are missing are waited for. No guest is contacted yet, but those of
    which no key is known where the options agree to it.

    Raises:
        UsageError: A file that the options name can't be used.
    """
    state = state_folder(lab_file, lab)
    minutes = options.deadline
    deadline = Deadline.after(minutes * SECONDS_A_MINUTE) if minutes else None
    asking = options.accept_new_host_keys
    if patient:
        snapshot = snapshot_with_keys(vcenter, lab, state, deadline, asking=asking)
    else:
        snapshot = vcenter.snapshot(lab)
    guests = reach_guests(
        lab, snapshot.vms, state,
        hosts=snapshot.hosts, simulated=snapshot.vcenter.simulated,
        first_use=FirstUse(deadline.left if deadline else SSH_SECONDS) if asking else None,
    )  # fmt: skip
    for name in guests.renewed:
        say(f"{name} was built anew: its new host key replaces the old one")
    for name, keys in sorted(guests.accepted.items()):
        say(f"{name} publishes no host key; trusted from now on: {', '.join(fingerprints(keys))}")
    lab_machines = (*guests.machines, *guests.left_out)
    guests = replace(guests, bare_metal=read_bare_metal(options.inventories, lab_machines))
    settings = Settings(state, options.payload_python, variables=options.extra_vars)
    return Stage(lab, guests, settings, deadline)


def choose(stage: Stage, options: GuestOptions, kind: RunKind) -> Stage | None:
    """Limit a stage to the machines that a person chose; None where none has failed last time.

    Raises:
        UsageError: There is no machine and no group of a name.
    """
    there = sorted({*stage.guests.machines, *stage.guests.left_out})
    chosen = {name for word in options.limit for name in _named(word, there, stage)}
    if options.failed:
        before = Failures.of(stage.settings.state, kind).read()
        failed = {name for name in there if name in before}
        chosen = failed & chosen if options.limit else failed
        if not chosen:
            say("nothing to do: no machine failed last time")
            return None
    return replace(stage, settings=replace(stage.settings, limit=tuple(sorted(chosen))))


def _named(word: str, there: list[str], stage: Stage) -> list[str]:
    """Return the machines that a word names: one, or all of its group."""
    if word in there:
        return [word]
    machines = stage.guests.machines
    # Those that can't be reached have no variables, but a group's name in their own.
    prefix = f"{stage.lab.lab}-{word}-"
    members = [
        name
        for name in there
        if (machines[name]["vdl_group"] == word if name in machines else name.startswith(prefix))
    ]
    if not members:
        raise UsageError(
            f"no machine and no group is called {word!r}", subject=stage.lab.lab,
            fix=f"name some of: {', '.join(there) or 'none, run `vdl provision` first'}",
        )  # fmt: skip
    return members


def configure_stage(stage: Stage) -> PlaybookResult:
    """Run `site.yml`, showing what happens. What failed is in the result, and told.

    Raises:
        UsageError: The lab has no machine yet.
    """
    guests = stage.guests
    if not guests.machines and not guests.left_out:
        raise UsageError(
            "the lab has no machine to configure", subject=stage.lab.lab, fix="run `vdl provision`"
        )
    with watching(len(guests.machines)) as (on_event, stop):
        result = configure(
            guests, stage.settings, on_event=on_event, deadline=stage.deadline, stop=stop
        )
    _tell(result)
    return result


def bench_stage(stage: Stage, results: Path, *, distributed: bool = False) -> Benched:
    """Run the benchmarks, showing what happens. What failed is in the result, and told."""
    with watching(len(stage.guests.machines)) as (on_event, stop):
        benched = bench(
            stage.lab, stage.guests, stage.settings, results, distributed=distributed,
            on_event=on_event, deadline=stage.deadline, stop=stop,
        )  # fmt: skip
    _tell(benched.playbook)
    for text in _doubts(benched.folder):
        say(text)
    say(f"results: {benched.folder}")
    return benched


def _tell(result: PlaybookResult) -> None:
    for text in failures(result):
        say(text)
    if result.log:
        say(f"log: {result.log}")


def _doubts(run: Path) -> list[str]:
    """Return each machine whose results its gate makes invalid, with the evidence."""
    try:
        return doubts(read_results(run))
    except UsageError as error:
        # What was measured lies there, and whoever reports on it is refused for the same reason.
        return [error.text()]


def gates_of(result: PlaybookResult) -> dict[str, Gate]:
    """Return the verdict of each machine that the playbook came to the gate of."""
    told = {name: result.hosts[name].data.get("vdl_gate") for name in sorted(result.hosts)}
    return {name: gate_of(document) for name, document in told.items() if document}


def report_stage(run: Path) -> Path:
    """Print the comparison and write the page; return its path."""
    # Drawing takes matplotlib, which takes a second to import.
    from provision.bench.compare import compare  # noqa: PLC0415
    from provision.report.page import write_report  # noqa: PLC0415
    from provision.report.table import render  # noqa: PLC0415

    results = read_results(run)
    away, jobs = turned_away(run), read_jobs(run)
    show(render(compare(results), away, jobs))
    return write_report(results, run, away, jobs)


def judge(result: PlaybookResult, kind: RunKind) -> None:
    """Raise where machines are not done.

    Raises:
        Interrupted: A person has stopped the run.
        PartlyDone: Some machines failed.
        VdlError: All did.
    """
    if error := error_of(result, DONE[kind], f"vdl {kind} --failed"):
        raise error
