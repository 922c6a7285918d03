"""Whether a plan still fits the world that it would change."""

from __future__ import annotations

from collections.abc import Callable

from provision.errors import PlanBlocked, StalePlan
from provision.plan.model import Action, Plan, Severity
from provision.plan.snapshot import Snapshot
from provision.spec.model import Lab
from provision.vsphere.port import Port

Replan = Callable[[Lab, Snapshot], Plan]
SHOWN = 5


def check_fresh(plan: Plan, lab: Lab, port: Port, replan: Replan) -> tuple[Plan, Snapshot]:
    """Read the world again and return today's plan, which equals `plan`, with its snapshot.

    Raises:
        PlanBlocked: A finding of severity `error` stands in the way.
        StalePlan: The lab file or the world has changed since the plan was made.
    """
    check_unblocked(plan)
    snapshot = port.snapshot(lab)
    fresh = replan(lab, snapshot)
    if fresh.fingerprint != plan.fingerprint:
        raise StalePlan(
            "the world has changed since the plan was made; nothing was done",
            subject=plan.lab,
            why=_difference(plan, fresh),
            fix="plan again and look at what is new",
        )
    check_unblocked(fresh)
    return fresh, snapshot


def check_unblocked(plan: Plan) -> None:
    """Refuse a plan with error findings.

    Raises:
        PlanBlocked: It names every one of them.
    """
    errors = [f for f in plan.findings if f.severity is Severity.ERROR]
    if errors:
        raise PlanBlocked(
            f"the plan is blocked by {len(errors)} finding(s); nothing was done",
            subject=plan.lab,
            why="; ".join(f"{f.subject}: {_one_line(f.message)} [{f.code}]" for f in errors),
            fix="; ".join(dict.fromkeys(f.fix for f in errors)),
        )


def _difference(old: Plan, new: Plan) -> str:
    """Say what the fresh plan would do otherwise, in a few words."""
    before, now = {a.machine: a for a in old.actions}, {a.machine: a for a in new.actions}
    names = [n for n in dict.fromkeys((*before, *now)) if _gist(before, n) != _gist(now, n)]
    said = [f"{n}: planned {_gist(before, n)}, now {_gist(now, n)}" for n in names]
    known = {(f.code, f.subject) for f in old.findings}
    fresh = (f for f in new.findings if (f.code, f.subject) not in known)
    said += [f"{f.subject}: {_one_line(f.message)}" for f in fresh]
    more = f"; {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    return (
        "; ".join(said[:SHOWN]) + more if said else "the actions are the same, their ground is not"
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _gist(actions: dict[str, Action], machine: str) -> str:
    action = actions.get(machine)
    if action is None:
        return "nothing"
    where = f" on {action.host}" if action.host else ""
    cards = ", ".join(card.address for card in action.cards)
    return f"{action.kind}{where}" + (f" ({cards})" if cards else "")
