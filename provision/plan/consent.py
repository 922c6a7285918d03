"""Findings about what a person should agree to: what deletes or stops machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from provision.plan.draft import Draft
from provision.plan.model import ActionKind, Finding, Severity
from provision.plan.names import counted, listed
from provision.plan.snapshot import Power, Vm


def shrink(lab: str, surplus: Sequence[Vm], *, allowed: bool) -> Iterator[Finding]:
    """Yield an error where VMs would be deleted that the lab file does not have any more."""
    if surplus and not allowed:
        names = listed(vm.machine or vm.name for vm in surplus)
        message = f"{counted(len(surplus), 'VM')} would be deleted with their disks: {names}"
        fix = "if that is meant, confirm it with --allow-shrink; else correct the lab file"
        yield Finding(Severity.ERROR, "shrink", lab, message, fix)


def restarts(lab: str, drafts: Sequence[Draft], severity: Severity) -> Iterator[Finding]:
    """Yield what ends the work of machines, or deletes it; a VM that never ran has none."""
    fix = "when what runs in them has ended, confirm it with `vdl provision --allow-restart`"
    stopped = [
        draft.machine.name
        for draft in drafts
        if draft.kind is ActionKind.UPDATE and draft.restart
        if draft.vm and draft.vm.power is Power.ON
    ]
    if stopped:
        what = counted(len(stopped), "running machine")
        message = f"{what} will be shut down, changed and started again: {listed(stopped)}"
        yield Finding(severity, "drift-restart", lab, message, fix)
    again = [d for d in drafts if d.kind is ActionKind.REPLACE and d.has_run]
    if again:
        running = sum(d.vm is not None and d.vm.power is Power.ON for d in again)
        names = listed(draft.machine.name for draft in again)
        message = (
            f"{counted(len(again), 'machine')} ({running} running) will be deleted with "
            f"their disks and made again: {names}"
        )
        undo = f"{fix}, or undo the change in the lab file"
        yield Finding(severity, "drift-replace", lab, message, undo)


def questions(drafts: Sequence[Draft]) -> Iterator[Finding]:
    """Yield a warning for each machine whose VM waits for an answer."""
    for draft in drafts:
        if draft.vm and draft.vm.question:
            message = f"{draft.vm.path} waits for an answer: {draft.vm.question}"
            fix = "answer it in vCenter"
            yield Finding(Severity.WARNING, "vm-question", draft.machine.name, message, fix)
