"""A comparison as JSON, version 1."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from provision.bench.compare import Comparison, Row

VERSION = 1


def comparison_json(comparisons: Iterable[Comparison]) -> dict[str, Any]:
    """Return comparisons as plain data: speeds in images/s, ratios to the baseline's median."""
    return {
        "version": VERSION,
        "comparisons": [
            {
                **asdict(comparison.likeness),
                "baseline": comparison.baseline,
                "results": [_row(row) for row in comparison.rows],
                "invalid": [
                    {"machine": result.machine.name, "reasons": list(result.reasons)}
                    for result in comparison.invalid
                ],
                "notes": list(comparison.notes),
            }
            for comparison in comparisons
        ],
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "machine": asdict(row.result.machine),
        "run": row.result.run_id,
        "images_per_second": asdict(row.speed),
        "ratio": asdict(row.ratio),
    }
