"""What came of an apply, as text and as JSON (version 1)."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from provision.apply.result import MachineResult, Result
from provision.errors import VdlError

VERSION = 1


def result_json(result: Result) -> dict[str, Any]:
    """Return the result as plain data."""
    return {
        "version": VERSION,
        "lab": result.lab,
        "ok": result.ok,
        "interrupted": result.interrupted,
        "machines": [_machine(machine) for machine in result.machines],
    }


def _machine(machine: MachineResult) -> dict[str, Any]:
    return {
        "machine": machine.machine,
        "action": machine.kind.value,
        "outcome": machine.outcome.value,
        "step": machine.step.value if machine.step else None,
        "error": _error(machine.error),
        "clean_up_error": _error(machine.clean_up_error),
        "vm_id": machine.vm_id,
        "host": machine.host,
        "address": machine.address,
        "ssh_port": machine.ssh_port,
        "seconds": round(machine.seconds, 3),
        "note": machine.note or None,
    }


def _error(error: VdlError | None) -> dict[str, str | None] | None:
    if error is None:
        return None
    return {"what": error.what, "subject": error.subject, "why": error.why, "fix": error.fix}


def result_table(result: Result) -> Table:
    """Return a row per machine: what was done, where it is, how long it took."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("machine", "action", "outcome", "host", "address", "seconds"):
        table.add_column(title, justify="right" if title == "seconds" else "left")
    for machine in result.machines:
        table.add_row(
            machine.machine, machine.kind.value, machine.outcome.value, machine.host or "",
            machine.address or "", f"{machine.seconds:.1f}",
        )  # fmt: skip
    return table


def failures(result: Result) -> list[str]:
    """Return the message of each machine that is not as it should be."""
    texts = []
    for machine in result.unsuccessful:
        errors = [e for e in (machine.error, machine.clean_up_error) if e is not None]
        said = "\n".join(error.text() for error in errors) or machine.note
        texts.append(f"{machine.machine}: {machine.outcome} at {machine.step}\n{said}".rstrip())
    return texts
