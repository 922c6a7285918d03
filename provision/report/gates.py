"""What machines proved of themselves, as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from provision.bench.gates import FAILED, NOT_APPLICABLE, UNKNOWN, WARNED, Gate, GateCheck
from provision.bench.results import Result
from provision.report.words import evidence

FEW = 4
"""Up to so many machines, every check is shown; of more, only what is not as it should be."""

STYLES = {FAILED: "red", WARNED: "yellow", UNKNOWN: "yellow"}


def render_gates(gates: Mapping[str, Gate]) -> RenderableType:
    """Return a row per check of each machine, and below what mends those that are not passed."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("machine", "check", "state", "seen", "expected"):
        table.add_column(title, overflow="fold")
    for name, gate in gates.items():
        for row in _rows(name, gate, every=len(gates) <= FEW):
            table.add_row(*row)
    return Group(table, *_trouble(gates))


def doubts(results: Iterable[Result]) -> list[str]:
    """Return each machine whose results its gates make invalid, with the evidence, once."""
    texts = []
    for result in results:
        if shown := list(evidence(result)):
            told = f"{result.machine.name}: not valid: {'; '.join(result.reasons)}"
            texts.append("\n  ".join([told, *shown]))
    return list(dict.fromkeys(texts))


def _trouble(gates: Mapping[str, Gate]) -> Iterator[Text]:
    """Yield the checks that are not passed, each with its evidence and what to do."""
    for name, gate in gates.items():
        for check in gate.in_state(*STYLES):
            yield Text("\n".join([f"{name}: {check.state}: {check.line}", *_below(check)]),
                       style=STYLES[check.state])  # fmt: skip


def _rows(name: str, gate: Gate, *, every: bool) -> Iterable[tuple[str | Text, ...]]:
    told = [check for check in gate.checks if check.state != NOT_APPLICABLE]
    shown = told if every else [check for check in told if check.state in STYLES]
    if len(shown) < len(told) or not told:
        kept = len(told) - len(shown)
        yield name, f"{kept} others" if shown else f"all {kept}", "passed", "", ""
    for check in shown:
        state = Text(check.state, style=STYLES.get(check.state, "green"))
        yield name, check.id, state, check.seen, check.expected


def _below(check: GateCheck) -> Iterator[str]:
    yield from (f"  {line}" for line in check.evidence)
    if check.fix:
        yield f"  fix: {check.fix}"
