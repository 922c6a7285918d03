"""A plan as text for people. Styles are for terminals; `.plain` has the same words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from rich.text import Text

from provision.plan.model import Action, ActionKind, CardChoice, Finding, Plan, Severity

SIGNS = {
    ActionKind.CREATE: ("+", "green"),
    ActionKind.UPDATE: ("~", "yellow"),
    ActionKind.REPLACE: ("-/+", "magenta"),
    ActionKind.DESTROY: ("-", "red"),
    ActionKind.NONE: ("=", "dim"),
}
SHOWN_ONE_BY_ONE = 40
COUNTED = (
    (ActionKind.CREATE, "create"),
    (ActionKind.UPDATE, "update"),
    (ActionKind.REPLACE, "replace"),
    (ActionKind.DESTROY, "destroy"),
)


def render_text(plan: Plan, *, verbose: bool = False) -> Text:
    """Return the plan as it is shown before anything changes.

    Args:
        plan: The plan.
        verbose: Show machines that stay as they are, and every machine of a large plan. Without
            it, a kind of action with more than 40 machines is summarised per group.
    """
    lines = [*_actions(plan, verbose=verbose), *_findings(plan.findings), Text(_count(plan))]
    return Text("\n").join(lines)


def _actions(plan: Plan, *, verbose: bool) -> Iterator[Text]:
    shown = [a for a in plan.actions if verbose or a.kind is not ActionKind.NONE]
    crowded = {k for k in ActionKind if plan.count(k) > SHOWN_ONE_BY_ONE and not verbose}
    for action in shown:
        if action.kind not in crowded:
            yield from _one(action)
    summarised = sorted((a for a in shown if a.kind in crowded), key=_group)
    for _, members in groupby(summarised, key=_group):
        yield from _many(list(members))
    if shown:
        yield Text()


def _one(action: Action) -> Iterator[Text]:
    sign, style = SIGNS[action.kind]
    yield Text(f"{sign:>3} {action.machine}: {action.reason}", style=style)
    if action.host and action.kind is not ActionKind.NONE:
        yield Text(f"      host      {action.host}")
    for card in action.cards:
        yield Text(f"      card      {_card(card)}")
    for change in action.changes:
        yield Text(f"      {change.path:<9} {change.old} → {change.new}")
    if action.settings:
        settings = ", ".join(f"{key}={value}" for key, value in sorted(action.settings.items()))
        yield Text(f"      settings  {settings}", style="dim")


def _card(card: CardChoice) -> str:
    node = "" if card.numa_node is None else f", NUMA node {card.numa_node}"
    return f"{card.host} {card.address} {card.profile or 'passthrough'}{node}"


def _group(action: Action) -> tuple[str, str, str]:
    return (action.kind.value, action.machine.rpartition("-")[0], action.reason)


def _many(actions: list[Action]) -> Iterator[Text]:
    first = actions[0]
    sign, style = SIGNS[first.kind]
    _, group, reason = _group(first)
    yield Text(f"{sign:>3} {group}-*: {len(actions)} machines: {reason}", style=style)
    hosts = sorted({a.host for a in actions if a.host})
    if hosts:
        yield Text(f"      hosts     {len(hosts)}, from {hosts[0]} to {hosts[-1]}")
    profiles = sorted({c.profile or "passthrough" for a in actions for c in a.cards})
    if profiles:
        cards = len({(c.host, c.address) for a in actions for c in a.cards})
        yield Text(f"      cards     {cards}, {', '.join(profiles)}")


def _findings(findings: Iterable[Finding]) -> Iterator[Text]:
    for finding in findings:
        style = "red" if finding.severity is Severity.ERROR else "yellow"
        head = f"{finding.severity.value}: {finding.code}: {finding.subject}"
        yield Text(head, style=style)
        yield from (Text(f"  {line}") for line in finding.message.splitlines())
        yield Text(f"  fix: {finding.fix}")
        yield Text()


def _count(plan: Plan) -> str:
    parts = ", ".join(f"{plan.count(kind)} to {verb}" for kind, verb in COUNTED)
    return f"Plan: {parts}."


def next_step(plan: Plan) -> str:
    """Return what to type after looking at the plan."""
    if plan.blocked:
        return "Blocked: nothing can change until the errors above are gone. Next: vdl plan"
    if not plan.pending:
        return "Nothing to do. Next: vdl configure"
    return "Next: vdl provision"
