"""The chart of training speed per GPU mode, as SVG for the page and as PNG for a slide."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from provision.bench.compare import Comparison, Row
from provision.bench.results import Result
from provision.report.words import MODES, SIMULATED, mode_of, share, speed

# Colour-blind safe (Okabe and Ito), one per GPU mode; the label says the same in words.
COLOURS = {
    "bare-metal": "#000000",
    "passthrough": "#0072B2",
    "vgpu": "#009E73",
    "group": "#CC79A7",
    "none": "#999999",
}
FEW = 10  # images/s below which an axis needs decimals
INCHES_WIDE = 9.0
MOST_NAMES = 4
STYLE: Any = {
    "font.size": 11,
    "svg.fonttype": "none",
    "svg.hashsalt": "vdl",
    "hatch.linewidth": 0.6,
    "text.parse_math": False,  # a name with dollar signs is no formula
}


def draw(comparisons: Iterable[Comparison]) -> Figure:
    """Draw a panel per set of like results: a bar per GPU mode, a dot per machine.

    A bar is the median over the machines of that mode, profile and group; its whiskers are
    the lowest and highest end of their 95 % intervals. Hatched bars are simulated.
    """
    panels = [c for c in comparisons if c.rows]
    bars = [_groups(c) for c in panels]
    heights = [1.2 + 0.6 * len(b) for b in bars] or [1.0]
    with rc_context(STYLE):
        figure = Figure(figsize=(INCHES_WIDE, sum(heights)), layout="constrained")
        if not panels:
            figure.text(0.5, 0.5, "no valid result", ha="center")
            return figure
        parts = figure.subfigures(len(panels), squeeze=False, height_ratios=heights)[:, 0]
        for part, comparison, groups in zip(parts, panels, bars, strict=True):
            part.suptitle(comparison.likeness.title, x=0.01, ha="left", fontweight="bold")
            _panel(part.subplots(), groups, comparison)
    return figure


def svg(figure: Figure) -> str:
    """Return the chart as an SVG element without XML declaration and date."""
    buffer = io.StringIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def png(figure: Figure, path: Path) -> None:
    """Write the chart as a PNG of 160 dots per inch."""
    with rc_context(STYLE):
        figure.savefig(path, format="png", dpi=160)


def _groups(comparison: Comparison) -> list[tuple[str, list[Row]]]:
    def kind(row: Row) -> tuple[str, bool]:
        return mode_of(row.result.machine), row.result.machine.simulated

    ordered = sorted(comparison.rows, key=lambda row: (kind(row), row.result.machine.name))
    groups = [(name, list(rows)) for (name, _), rows in groupby(ordered, key=kind)]
    return sorted(groups, key=lambda group: _middle(group[1]))


def _label(name: str, rows: list[Row]) -> str:
    return f"{name}\n{len(rows)} machines" if len(rows) > 1 else name


def _left_out(invalid: Sequence[Result]) -> list[str]:
    """Return a line on machines that have no bar: the chart may be shown without its page."""
    names = list(dict.fromkeys(result.machine.name for result in invalid))
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return [f"invalid, left out: {', '.join(names[:MOST_NAMES])}{more}"] if names else []


def _middle(rows: list[Row]) -> float:
    return median(row.speed.median for row in rows)


def _note(rows: list[Row], baseline: str | None) -> str:
    """Return the speed in words, with its share of the baseline."""
    machine = rows[0].result.machine
    text = f"{speed(_middle(rows))} images/s"
    if baseline is not None and machine.gpu_mode != baseline:
        text += f", {share(median(row.ratio.median for row in rows))} of {MODES[baseline]}"
    return f"{text} ({SIMULATED})" if machine.simulated else text


def _panel(axis: Axes, groups: list[tuple[str, list[Row]]], comparison: Comparison) -> None:
    highest = max(row.speed.high for _, rows in groups for row in rows)
    for place, (_, rows) in enumerate(groups):
        machine = rows[0].result.machine
        value = _middle(rows)
        low = min(row.speed.low for row in rows)
        high = max(row.speed.high for row in rows)
        axis.barh(
            place, value, height=0.62, color=COLOURS.get(machine.gpu_mode, "#56B4E9"),
            alpha=0.45 if machine.simulated else 0.9, hatch="///" if machine.simulated else None,
            edgecolor="white", xerr=[[value - low], [high - value]], error_kw={"capsize": 3},
        )  # fmt: skip
        axis.plot([r.speed.median for r in rows], [place] * len(rows), "o", color="black", ms=4)
        axis.text(high + 0.02 * highest, place, _note(rows, comparison.baseline), va="center")
    axis.set_yticks(range(len(groups)), [_label(name, rows) for name, rows in groups])
    axis.set_xlim(0, highest * 1.8)  # room for the words behind the bars
    axis.xaxis.set_major_formatter("{x:,.0f}" if highest >= FEW else "{x:g}")
    axis.set_xlabel("\n".join(["training speed, images/s", *_left_out(comparison.invalid)]))
    axis.spines[["top", "right"]].set_visible(False)
