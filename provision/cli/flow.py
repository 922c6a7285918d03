"""The stages that several commands share: show, ask, do, report."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import click

from provision.apply.interrupt import StopRequest, stop_on_signals
from provision.apply.journal import Journal
from provision.apply.making import settled_snapshot
from provision.apply.result import SUCCESS, MachineResult, Outcome, Result
from provision.apply.runner import OnEvent, Options, apply
from provision.cli.memory import Memory
from provision.cli.options import Agreed
from provision.cli.output import say, show_on_stderr
from provision.cli.progress import progress
from provision.cli.results import failures
from provision.errors import PlanBlocked, StalePlan, UsageError
from provision.plan.gone import gone
from provision.plan.model import Action, ActionKind, Plan
from provision.plan.planner import plan as make_plan
from provision.plan.render_text import render_text
from provision.plan.snapshot import Snapshot
from provision.spec.model import Lab
from provision.vsphere.port import PlanChecker, Port


@dataclass(frozen=True, slots=True)
class Consent:
    """What the person has agreed to beforehand.

    `fingerprint` is that of a saved plan: nothing may be done that it did not show.
    """

    yes: bool = False
    agreed: Agreed = field(default_factory=Agreed)
    fingerprint: str | None = None


class CheckingPort(Port, PlanChecker, Protocol):
    """A vCenter that judges plans and carries them out."""


def provision(
    lab: Lab,
    port: CheckingPort,
    consent: Consent,
    *,
    lab_file: Path,
    parallel: int,
    keep_failed: bool = False,
    log_file: Path | None = None,
) -> Result:
    """Plan, show, ask, and carry the plan out.

    Raises:
        PlanBlocked: Findings stand in the way; nothing was changed.
        StalePlan: The world has changed since the (saved) plan; nothing was changed.
        click.Abort: The person said no.
        UsageError: The log file can't be written; nothing was changed.
    """
    agreed = consent.agreed

    def replan(of: Lab, world: Snapshot) -> Plan:
        return make_plan(
            of, world,
            allow_shrink=agreed.allow_shrink, allow_restart=agreed.allow_restart,
        )  # fmt: skip

    snapshot = settled_snapshot(lab, port, say)
    memory = Memory.of(lab_file, lab, snapshot.vcenter.instance_uuid)
    plan = replan(lab, snapshot)
    plan = plan.with_findings(gone(plan, memory.stood(), allow_recreate=agreed.allow_recreate))
    if agreed.checks:
        plan = port.checked(plan)
    show_on_stderr(render_text(plan))
    _check(plan, consent)
    memory.change(standing=_of(plan, ActionKind.NONE, ActionKind.UPDATE))
    if not plan.pending:
        say("nothing to do: every machine is as the lab file wants it")
        return Result(lab.lab, tuple(_as_it_is(action) for action in plan.actions))
    if not consent.yes:
        ask("Carry this plan out?")
    memory.change(leaving=_of(plan, ActionKind.DESTROY, ActionKind.REPLACE))
    with (
        journal(log_file, lab.lab) as write,
        stop_on_signals(StopRequest()) as stop,
        progress(len(plan.pending), stop) as on_event,
    ):
        options = Options(
            parallel=parallel, keep_failed=keep_failed, on_event=on_event, journal=write, stop=stop,
        )  # fmt: skip
        result = apply(plan, port, lab=lab, replan=replan, options=options)
    made = (one for one in result.machines if one.kind is not ActionKind.DESTROY)
    memory.change(standing=[one.machine for one in made if one.outcome in SUCCESS])
    for text in failures(result):
        say(text)
    return result


@contextmanager
def journal(path: Path | None, lab: str) -> Iterator[OnEvent]:
    """Give the function that writes events to the log file, if there is one.

    Raises:
        UsageError: The file can't be written.
    """
    if path is None:
        yield lambda _event: None
        return
    with Journal(path, lab) as log:
        yield log.write
    if log.error is not None:
        say(f"the log file {path} is incomplete: {log.error}")


def _of(plan: Plan, *kinds: ActionKind) -> list[str]:
    """Return the machines of a plan that have a VM and get an action of these kinds."""
    return [a.machine for a in plan.actions if a.kind in kinds and a.vm is not None]


def _as_it_is(action: Action) -> MachineResult:
    vm_id = action.vm.id if action.vm else None
    return MachineResult(
        action.machine, action.kind, Outcome.UNCHANGED, vm_id=vm_id, host=action.host
    )


def _check(plan: Plan, consent: Consent) -> None:
    if consent.fingerprint not in {None, plan.fingerprint}:
        raise StalePlan(
            "the world or the lab file has changed since the plan was saved; nothing was done",
            subject=plan.lab,
            fix="look at the plan above, save it again, or go without --plan",
        )
    if plan.blocked:
        raise PlanBlocked("the plan is blocked by its findings; nothing was done", subject=plan.lab)


def ask(question: str) -> None:
    """Ask for a yes on the terminal.

    Raises:
        UsageError: There is no terminal to ask on.
        click.Abort: The answer is no.
    """
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask on", fix="use --yes to go on without asking")
    click.confirm(question, abort=True, err=True)
