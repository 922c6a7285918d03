"""The comparison as a table for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from provision.bench.compare import Comparison, Row
from provision.bench.figures import figures_of
from provision.bench.gates import Gate
from provision.bench.jobs import Job
from provision.report.bands import beside
from provision.report.words import (
    MODES,
    SIMULATED,
    SIMULATED_NOTE,
    evidence,
    mode_of,
    proof,
    share,
    size,
    speed,
)


def render(
    comparisons: Iterable[Comparison],
    away: Mapping[str, Gate] = MappingProxyType({}),
    jobs: Sequence[Job] = (),
) -> RenderableType:
    """Return a table per set of like results, with what was left out and why.

    `away` are the machines that their gates kept from measuring (`results.turned_away`).
    """
    parts: list[RenderableType] = []
    simulated = any(job.simulated for job in jobs)
    for comparison in comparisons:
        parts += [_table(comparison), *_below(comparison), Text()]
        simulated = simulated or comparison.simulated
    if jobs:
        parts += [*_jobs(jobs), Text()]
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
    more = [(title, cell) for title, cell in MORE.items() if any(map(cell, comparison.rows))]
    for title, _ in more:
        table.add_column(title, justify="right")
    if comparison.simulated:
        table.add_column("")
    for row in comparison.rows:
        mark = [SIMULATED] if row.result.machine.simulated else []
        table.add_row(*_cells(row), *(cell(row) for _, cell in more), *mark)
    return table


def _ceilings(row: Row) -> str:
    return share(figures_of(row.result).of_convolution)


def _energy(row: Row) -> str:
    joules = figures_of(row.result).joules_per_image
    return "" if joules is None else f"{joules:#.3g}"


def _accuracy(row: Row) -> str:
    figures = figures_of(row.result)
    if figures.seconds_to_accuracy is None:
        return share(figures.accuracy)
    return f"{share(figures.target_accuracy)} after {figures.seconds_to_accuracy:.1f} s"


MORE: Mapping[str, Callable[[Row], str]] = {
    "of ceiling": _ceilings,
    "J/image": _energy,
    "test accuracy": _accuracy,
}
"""Columns that stand there only if a row has something in them."""


def _jobs(jobs: Sequence[Job]) -> Iterable[RenderableType]:
    """Return the jobs of several machines, and why some of them don't count."""
    table = Table(title="several machines, one model", title_justify="left", title_style="bold")
    for title in ("group", "model"):
        table.add_column(title)
    numbers = ("machines", "images/s", "alone, summed", "efficiency", "gradients", "network bound")
    for title in numbers:
        table.add_column(title, justify="right")
    if any(job.simulated for job in jobs):
        table.add_column("")
    for job in (job for job in jobs if job.valid and job.speed):
        mark = [SIMULATED] if job.simulated else []
        table.add_row(*_job_cells(job), *mark)
    yield table
    for job in jobs:
        if not job.valid:
            yield Text(f"left out: {job.group} {job.name}: {'; '.join(job.reasons)}", style="red")


def _job_cells(job: Job) -> tuple[str, ...]:
    return (
        job.group,
        job.title,
        str(len(job.machines)),
        speed(job.speed.median) if job.speed else "",
        "" if job.alone is None else speed(job.alone),
        share(job.efficiency),
        size(job.gradient_bytes),
        "" if job.bound is None else f"{speed(job.bound)} images/s",
    )


def _cells(row: Row) -> tuple[str, ...]:
    machine = row.result.machine
    return (
        machine.name,
        mode_of(machine),
        machine.host or "",
        speed(row.speed.median),
        f"{speed(row.speed.low)} to {speed(row.speed.high)}",
        share(row.ratio.median),
    )


def _below(comparison: Comparison) -> Iterable[Text]:
    for result in comparison.invalid:
        reasons = "; ".join(result.reasons) or "nothing was measured"
        yield Text(f"left out: {result.machine.name}: {reasons}", style="red")
        for line in evidence(result):
            yield Text(f"  {line}", style="red")
    for note in comparison.notes:
        yield Text(f"note: {note}", style="yellow")
    for band in beside(comparison):
        yield Text(f"published: {band.what}: {band.figure} ({band.source})", style="dim")
