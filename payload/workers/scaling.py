"""What the workers of a job came to together: the document of the job, version 1.

`schema.json` beside this module describes it.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from payload.settings import Settings

VERSION = 1
KIND = "vdl-job"
SCHEMA_FILE = Path(__file__).with_name("schema.json")
BYTES_PER_GRADIENT = 4
"""Gradients have the type of the weights, which is float32 in every precision."""

Json = dict[str, Any]


def combine(settings: Settings, everyone: list[Json], bytes_per_second: float) -> Json:
    """Return the document of a job.

    Args:
        settings: What all workers were asked for.
        everyone: What each worker told (`part`), by rank.
        bytes_per_second: Of the network between worker 0 and the one it reaches most slowly.
    """
    first = everyone[0]["document"]
    speeds = [part["document"]["throughput"] for part in everyone]
    together = {end: sum(speed[end] for speed in speeds) for end in ("median", "low", "high")}
    reasons = [
        f"worker-invalid: worker {rank}: {reason}"
        for rank, part in enumerate(everyone)
        for reason in part["document"]["reasons"]
    ]
    if len(precisions := {part["document"]["precision"] for part in everyone}) > 1:
        reasons.append(f"unlike-workers: not all computed alike: {', '.join(sorted(precisions))}")
    equal = len({part["weights_sha256"] for part in everyone}) == 1
    if not equal:
        reasons.append("weights-differ: the workers did not end with the same weights")
    return {
        "version": VERSION,
        "kind": KIND,
        **{key: first[key] for key in ("model", "engine", "precision", "image_shape", "data")},
        "batch_size": settings.batch_size,
        "devices": settings.devices,
        "xla": settings.xla,
        "global_batch_size": settings.global_batch_size * len(everyone),
        "started": first["started"],
        "finished": first["finished"],
        "stopped_by": first["stopped_by"],
        "throughput": {"unit": "images/s", **together, "step_seconds": speeds[0]["step_seconds"]},
        "scaling": _efficiency(together["median"], [part["alone"] for part in everyone]),
        "network": network(settings, first["parameters"], len(everyone), bytes_per_second),
        "workers": [_worker(rank, part) for rank, part in enumerate(everyone)],
        "weights_equal": equal,
        "valid": not reasons,
        "reasons": reasons,
    }


def part(address: str, document: Json, weights: str | None, alone: float | None) -> Json:
    """Return what a worker tells the others: its document without the time of each step."""
    throughput = {key: value for key, value in document["throughput"].items() if key != "steps"}
    return {
        "address": address,
        "document": document | {"throughput": throughput},
        "weights_sha256": weights,
        "alone": alone,
    }


def network(settings: Settings, parameters: int, workers: int, bytes_per_second: float) -> Json:
    """Return what the network must carry in a step, and how many images/s it lets pass at most.

    In a ring of n workers each sends (and receives) `2 (n-1)/n` times the bytes of all gradients
    in a step (Patarasuk and Yuan 2009). A step can't be faster than that takes.
    """
    gradients = parameters * BYTES_PER_GRADIENT
    sent = 2 * (workers - 1) / workers * gradients
    seconds = sent / bytes_per_second
    images = settings.global_batch_size * workers
    return {
        "gradient_bytes": gradients,
        "sent_bytes_per_step": round(sent),
        "bytes_per_second": bytes_per_second,
        "bound_step_seconds": seconds,
        "bound_images_per_second": images / seconds,
    }


def _efficiency(together: float, alone: list[float | None]) -> Json:
    """Return images/s together as a share of what all workers have alone, summed."""
    known = [speed for speed in alone if speed is not None]
    if not known:
        return {"alone": None, "efficiency": None}
    # A worker that was not measured alone counts as the others' middle.
    ideal = median(known) * len(alone) if len(known) < len(alone) else sum(known)
    return {"alone": ideal, "efficiency": together / ideal}


def _worker(rank: int, part: Json) -> Json:
    document = part["document"]
    return {
        "rank": rank,
        "address": part["address"],
        "images_per_second": document["throughput"]["median"],
        "alone": part["alone"],
        "weights_sha256": part["weights_sha256"],
        "valid": document["valid"],
        "reasons": document["reasons"],
    }
