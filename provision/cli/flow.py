"""The stages that several commands share: show, ask, do, report."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import click

from provision.apply.interrupt import StopRequest, stop_on_signals
from provision.apply.result import Result
from provision.apply.runner import Options, apply
from provision.cli.output import say, show_on_stderr
from provision.cli.progress import progress
from provision.cli.results import failures
from provision.errors import PlanBlocked, StalePlan, UsageError
from provision.plan.model import Plan
from provision.plan.planner import plan as make_plan
from provision.plan.render_text import render_text
from provision.plan.snapshot import Snapshot
from provision.spec.model import Lab
from provision.vsphere.port import Port


@dataclass(frozen=True, slots=True)
class Consent:
    """What the person has agreed to beforehand.

    `fingerprint` is that of a saved plan: nothing may be done that it did not show.
    """

    yes: bool = False
    allow_shrink: bool = False
    fingerprint: str | None = None


def provision(
    lab: Lab,
    port: Port,
    consent: Consent,
    *,
    parallel: int,
    keep_failed: bool = False,
) -> Result:
    """Plan, show, ask, and carry the plan out.

    Raises:
        PlanBlocked: Findings stand in the way; nothing was changed.
        StalePlan: The world has changed since the (saved) plan; nothing was changed.
        click.Abort: The person said no.
    """

    def replan(of: Lab, world: Snapshot) -> Plan:
        return make_plan(of, world, allow_shrink=consent.allow_shrink)

    plan = replan(lab, port.snapshot(lab))
    show_on_stderr(render_text(plan))
    _check(plan, consent)
    if not plan.pending:
        say("nothing to do: every machine is as the lab file wants it")
        return Result(lab.lab, ())
    if not consent.yes:
        ask("Carry this plan out?")
    with stop_on_signals(StopRequest()) as stop, progress(len(plan.pending), stop) as on_event:
        options = Options(
            parallel=parallel, keep_failed=keep_failed, on_event=on_event, stop=stop,
        )  # fmt: skip
        result = apply(plan, port, lab=lab, replan=replan, options=options)
    for text in failures(result):
        say(text)
    return result


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
