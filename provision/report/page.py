"""The report as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from provision import __version__
from provision.bench.compare import Comparison, compare
from provision.bench.figures import figures_of
from provision.bench.gates import FAILED, UNKNOWN, WARNED, Gate
from provision.bench.jobs import Job
from provision.bench.results import Result
from provision.errors import VdlError
from provision.report import chart
from provision.report.bands import BANDS, beside
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

PAGE_FILE = "report.html"
CHART_FILE = "report.png"


SOFTWARE = ("tensorflow", "jax", "torch", "keras", "numpy", "cuda", "cudnn")


def write_report(
    results: Sequence[Result],
    folder: Path,
    away: Mapping[str, Gate] = MappingProxyType({}),
    jobs: Sequence[Job] = (),
) -> Path:
    """Write `report.html` and `report.png` into `folder`; return the path of the page.

    `away` are the machines that their gates kept from measuring (`results.turned_away`).

    Raises:
        VdlError: The files can't be written.
    """
    comparisons = compare(results)
    figure = chart.draw(comparisons)
    page = folder / PAGE_FILE
    try:
        chart.png(figure, folder / CHART_FILE)
        text = _html(results, comparisons, chart.svg(figure), away, jobs)
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise VdlError("the report can't be written", subject=str(page), why=str(error)) from error
    return page


def _html(
    results: Sequence[Result],
    comparisons: Sequence[Comparison],
    svg: str,
    away: Mapping[str, Gate],
    jobs: Sequence[Job],
) -> str:
    environment = Environment(
        loader=PackageLoader("provision.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "speed": speed,
        "mode": mode_of,
        "milliseconds": _milliseconds,
        "share": share,
        "figures": figures_of,
        "bytes": size,
        "evidence": evidence,
        "proof": proof,
    }
    return environment.get_template("page.html.j2").render(
        title=", ".join(sorted({r.run_id for r in results})),
        comparisons=comparisons,
        machines=_machines(results),
        away=away,
        jobs=jobs,
        beside=beside,
        chart=Markup(svg),  # noqa: S704 - matplotlib wrote it, and it escapes what it is given
        simulated=any(r.machine.simulated for r in results) or any(j.simulated for j in jobs),
        simulated_mark=SIMULATED,
        simulated_note=SIMULATED_NOTE,
        modes=MODES,
        bands=BANDS,
        version=__version__,
    )


def _machines(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return one entry per machine with what its newest result says of its environment."""
    newest = {r.machine.name: r for r in results}
    return [_machine(result) for _, result in sorted(newest.items())]


def _machine(result: Result) -> dict[str, Any]:
    environment = result.document.get("environment") or {}
    cpu = environment.get("cpu") or {}
    gpus = environment.get("gpus") or []
    framework = environment.get("framework") or {}
    return {
        "facts": result.machine,
        "cpu": f"{cpu.get('vcpus', '?')} x {cpu.get('model', 'unknown')}",
        "gpus": [f"{gpu.get('name')} (driver {gpu.get('driver')})" for gpu in gpus],
        "gate": "" if result.gate is None else "passed" if result.gate.passed else "not passed",
        "doubts": result.gate.in_state(FAILED, WARNED, UNKNOWN) if result.gate else (),
        "software": {name: framework.get(name) for name in SOFTWARE},
    }


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.1f}"
