"""What came of working inside machines, as text and as JSON (version 1)."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from provision.bench.schedule import Benched
from provision.errors import Interrupted, PartlyDone, VdlError
from provision.guests.events import HostResult, PlaybookResult

VERSION = 1
MOST_NAMES = 10
GATE_KEYS = ("passed", "reasons", "warnings", "checks")


def result_json(lab: str, result: PlaybookResult) -> dict[str, Any]:
    """Return the result as plain data."""
    return {
        "version": VERSION,
        "lab": lab,
        "machines": [_machine(result.hosts[name]) for name in sorted(result.hosts)],
        "interrupted": result.interrupted,
        "timed_out": result.timed_out,
        "log": str(result.log) if result.log else None,
    }


def bench_json(lab: str, benched: Benched | None) -> dict[str, Any]:
    """Return the result of a benchmark as plain data; None is one that nobody had to run."""
    result = benched.playbook if benched else PlaybookResult({})
    document = result_json(lab, result)
    for machine in document["machines"]:
        # Exit codes of the payload, by the name of the run.
        machine["runs"] = result.hosts[machine["machine"]].data.get("vdl_runs", {})
    return {**document, "results": str(benched.folder) if benched else None}


def _machine(host: HostResult) -> dict[str, Any]:
    gate = host.data.get("vdl_gate")
    return {
        "machine": host.name,
        "done": host.done,
        "changed": host.changed,
        "unreachable": host.unreachable,
        "failed_task": host.failed_task,
        "message": host.message,
        "gate": {key: gate.get(key, []) for key in GATE_KEYS} if gate else None,
    }


def result_table(result: PlaybookResult) -> Table:
    """Return a row per machine: what came of it, how much changed, whether its gate was passed."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("machine", "result", "changed", "gate"):
        table.add_column(title, justify="right" if title == "changed" else "left")
    for name in sorted(result.hosts):
        host = result.hosts[name]
        gate = host.data.get("vdl_gate")
        passed = ("passed" if gate["passed"] else "not passed") if gate else ""
        table.add_row(name, _outcome(host), str(host.changed), passed)
    return table


def _outcome(host: HostResult) -> str:
    if host.done:
        return "done"
    where = f": {host.failed_task}" if host.failed_task else ""
    return ("unreachable" if host.unreachable else "failed") + where


def failures(result: PlaybookResult) -> list[str]:
    """Return machine, task and message of each that is not done."""
    parts = ((host.name, host.failed_task, host.message) for host in result.failed)
    return [": ".join(part for part in one if part) for one in parts]


def error_of(result: PlaybookResult, done: str, again: str) -> VdlError | None:
    """Return what stands for the machines that are not done, or None where all are.

    Args:
        result: What came of a playbook.
        done: What should have happened to them, such as `configured`.
        again: The command that goes on with those that are left.
    """
    failed = [host.name for host in result.failed]
    if not failed and not result.interrupted:
        return None
    kind: type[VdlError] = PartlyDone if len(failed) < len(result.hosts) else VdlError
    cut = "the deadline has passed: " if result.timed_out else ""
    if result.interrupted:
        kind, cut = Interrupted, "interrupted: "
    finished = [name for name in sorted(result.hosts) if name not in set(failed)]
    also = f"; done: {_some(finished)}" if cut and finished else ""
    log = f"read {result.log}, then " if result.log else ""
    return kind(
        f"{cut}{len(failed)} of {len(result.hosts)} machines could not be {done}",
        why=f"not done: {_some(failed)}{also}",
        fix=f"{log}go on with `{again}`",
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
