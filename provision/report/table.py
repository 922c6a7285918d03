"""The comparison as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from provision.bench.compare import Comparison, Row
from provision.bench.gates import Gate
from provision.report.words import MODES, SIMULATED, SIMULATED_NOTE, evidence, mode_of, proof, speed


def render(
    comparisons: Iterable[Comparison], away: Mapping[str, Gate] = MappingProxyType({})
) -> RenderableType:
    """Return a table per set of like results, with what was left out and why.

    `away` are the machines that their gates kept from measuring (`results.turned_away`).
    """
    parts: list[RenderableType] = []
    simulated = False
    for comparison in comparisons:
        parts += [_table(comparison), *_below(comparison), Text()]
        simulated = simulated or comparison.simulated
    parts += [line for name, gate in away.items() for line in _not_measured(name, gate)]
    if simulated:
        parts.append(Text(SIMULATED_NOTE, style="yellow"))
    return Group(*parts)


def _not_measured(name: str, gate: Gate) -> Iterable[Text]:
    yield Text(f"not measured: {name}: {'; '.join(gate.reasons)}", style="red")
    yield from (Text(f"  {line}", style="red") for line in proof(gate))


def _table(comparison: Comparison) -> Table:
    table = Table(title=comparison.likeness.title, title_justify="left", title_style="bold")
    table.add_column("machine")
    table.add_column("GPU")
    table.add_column("host")
    table.add_column("images/s", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column(f"of {MODES.get(comparison.baseline or '', 'baseline')}", justify="right")
    if comparison.simulated:
        table.add_column("")
    for row in comparison.rows:
        table.add_row(*_cells(row), *([SIMULATED] if row.result.machine.simulated else []))
    return table


def _cells(row: Row) -> tuple[str, ...]:
    machine = row.result.machine
    return (
        machine.name,
        mode_of(machine),
        machine.host or "",
        speed(row.speed.median),
        f"{speed(row.speed.low)} to {speed(row.speed.high)}",
        f"{row.ratio.median:.2f}",
    )


def _below(comparison: Comparison) -> Iterable[Text]:
    for result in comparison.invalid:
        reasons = "; ".join(result.reasons) or "nothing was measured"
        yield Text(f"left out: {result.machine.name}: {reasons}", style="red")
        for line in evidence(result):
            yield Text(f"  {line}", style="red")
    for note in comparison.notes:
        yield Text(f"note: {note}", style="yellow")
