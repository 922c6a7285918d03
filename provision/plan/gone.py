"""Machines that stood before and are gone: a vCenter that was rolled back makes nothing anew."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from provision.plan.model import ActionKind, Finding, Plan, Severity
from provision.plan.names import counted, listed


def gone(plan: Plan, stood: Collection[str], *, allow_recreate: bool = False) -> Iterator[Finding]:
    """Yield a finding that names the machines which stood before and have no VM now.

    Args:
        plan: Which machines would be created.
        stood: Names of machines that stood in the same vCenter when vdl looked last.
        allow_recreate: Whether the user has confirmed that they are to be created again.
    """
    names = [a.machine for a in plan.actions if a.kind is ActionKind.CREATE and a.machine in stood]
    if names:
        severity = Severity.WARNING if allow_recreate else Severity.ERROR
        message = (
            f"{counted(len(names), 'machine')} stood in this vCenter before and "
            f"cannot be found in it now: {listed(names)}"
        )
        fix = (
            "see whether the inventory was rolled back or the user lacks rights; if the VMs were "
            "deleted on purpose, confirm it with `vdl provision --allow-recreate`"
        )
        yield Finding(severity, "machine-gone", plan.lab, message, fix)
