"""A comparison as JSON, version 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from provision.bench.compare import Comparison, Row
from provision.bench.figures import figures_of
from provision.bench.gates import Gate
from provision.bench.jobs import Job
from provision.report.words import evidence, proof

VERSION = 1


def comparison_json(
    comparisons: Iterable[Comparison],
    away: Mapping[str, Gate] = MappingProxyType({}),
    jobs: Iterable[Job] = (),
) -> dict[str, Any]:
    """Return comparisons as plain data: speeds in images/s, ratios to the baseline's median.

    `away` are the machines that their gates kept from measuring (`results.turned_away`).
    """
    return {
        "version": VERSION,
        "comparisons": [
            {
                **asdict(comparison.likeness),
                "baseline": comparison.baseline,
                "results": [_row(row) for row in comparison.rows],
                "invalid": [
                    {
                        "machine": result.machine.name,
                        "reasons": list(result.reasons),
                        "evidence": list(evidence(result)),
                    }
                    for result in comparison.invalid
                ],
                "notes": list(comparison.notes),
            }
            for comparison in comparisons
        ],
        "jobs": [_job(job) for job in jobs],
        "not_measured": [
            {"machine": name, "reasons": list(gate.reasons), "evidence": list(proof(gate))}
            for name, gate in away.items()
        ],
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "machine": asdict(row.result.machine),
        "run": row.result.run_id,
        "images_per_second": asdict(row.speed),
        "ratio": asdict(row.ratio),
        "figures": asdict(figures_of(row.result)),
    }


def _job(job: Job) -> dict[str, Any]:
    return {
        "group": job.group,
        "name": job.name,
        "machines": [machine.name for machine in job.machines],
        "images_per_second": None if job.speed is None else asdict(job.speed),
        "alone": job.alone,
        "efficiency": job.efficiency,
        "gradient_bytes": job.gradient_bytes,
        "network_bytes_per_second": job.network_bytes_per_second,
        "bound_images_per_second": job.bound,
        "valid": job.valid,
        "reasons": list(job.reasons),
    }
