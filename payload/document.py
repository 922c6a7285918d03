"""The JSON document of one run, version 1; `schema.json` describes it.

The version only changes when a reader of the old one would misread the new one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from payload.convolution import Convolution
from payload.measurement import Learning, Measurement
from payload.settings import DIGITS, SYNTHETIC, Settings

VERSION = 1
KIND = "vdl-result"
CONFIDENCE = 0.95
SCHEMA_FILE = Path(__file__).with_name("schema.json")

Json = dict[str, Any]


@dataclass(slots=True)
class Record:
    """What is known about a run; what a failed run never reached stays empty.

    Attributes:
        settings: What is carried out.
        started: When, in UTC.
        asked: Batch size and precision as they were asked for, where they may differ.
        search: The tries that led to the batch size, where `max` was asked for.
        xla_trials: Speed without XLA and with it, where `auto` was asked for.
        finished: When, in UTC; set at the end.
        parameters: Trainable parameters of the model.
        flops: Operations per image, `forward` and `training`.
        data: Source, path, number of training and test examples, digests.
        input: How images come to the device, and how fast.
        framework: Versions, devices and switches of the training framework.
        environment: The machine.
        summary: Throughput and step times, where steps were timed.
        weights_sha256: Digest of the trained weights, in a job.
        measurement: The step times themselves.
        learning: Epochs on real data.
        convolutions: The model's costliest ones, which are a ceiling of it.
        ceilings: What the device does at best, where it was measured.
        telemetry: What was seen of the machine while steps were timed.
        reasons: Why the result is not valid, each as `code: text`.
        warnings: What a reader of the figures should know, each as `code: text`.
    """

    settings: Settings
    started: datetime
    asked: Json = field(default_factory=dict)
    search: Json | None = None
    xla_trials: list[Json] = field(default_factory=list)
    finished: datetime | None = None
    parameters: int | None = None
    flops: Json | None = None
    data: Json = field(default_factory=dict)
    input: Json = field(default_factory=dict)
    framework: Json | None = None
    environment: Json = field(default_factory=dict)
    summary: Json | None = None
    weights_sha256: str | None = None
    measurement: Measurement = field(default_factory=Measurement)
    learning: Learning = field(default_factory=Learning)
    convolutions: tuple[Convolution, ...] = ()
    ceilings: Json | None = None
    telemetry: Json | None = None
    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def build(record: Record) -> Json:
    """Return the document of a finished run."""
    settings, finished = record.settings, record.finished
    return {
        "version": VERSION,
        "kind": KIND,
        "model": settings.model,
        "engine": settings.engine,
        "batch_size": settings.batch_size,
        "devices": settings.devices,
        "global_batch_size": settings.global_batch_size,
        "precision": settings.precision,
        "image_shape": list(settings.image_shape),
        "classes": settings.classes,
        "parameters": record.parameters,
        "flops_per_image": record.flops,
        "data": _data(record),
        "input": _input(record),
        "asked": {"batch_size": settings.batch_size, "precision": settings.precision}
        | record.asked,
        "batch_size_search": record.search,
        "xla": _xla(record),
        "seed": settings.seed,
        "started": record.started.isoformat(timespec="milliseconds"),
        "finished": None if finished is None else finished.isoformat(timespec="milliseconds"),
        "stopped_by": record.measurement.stopped_by,
        "throughput": throughput(record),
        "training": _training(record),
        "job": _job(record),
        "ceilings": record.ceilings,
        "telemetry": record.telemetry,
        "environment": record.environment | {"framework": record.framework},
        "valid": not record.reasons,
        "reasons": record.reasons,
        "warnings": record.warnings,
    }


def _xla(record: Record) -> Json:
    asked, trials = record.settings.xla, record.xla_trials
    used = asked == "on"
    if asked == "auto":
        best = max(trials, key=lambda trial: trial["images_per_second"] or 0, default=None)
        used = best is not None and best["xla"]
    return {"asked": asked, "used": used, "trials": trials}


def _data(record: Record) -> Json:
    asked = record.settings.data
    return {
        "source": asked if asked in {SYNTHETIC, DIGITS} else None,
        "path": None if asked in {SYNTHETIC, DIGITS} else asked,
        "examples": None,
        "test_examples": None,
        "sha256": {},
    } | record.data


def _input(record: Record) -> Json:
    return {
        "kind": None,
        "batches_ahead": None,
        "decode_threads": None,
        "images_per_second_alone": None,
        "waited_seconds": record.measurement.waited_seconds,
        "waited_share": record.measurement.waited_share,
    } | record.input


def throughput(record: Record) -> Json:
    """Return `throughput` of the document."""
    return _throughput(record.measurement, record.settings.precision_target, record.summary)


def _throughput(measured: Measurement, target: float, summary: Json | None) -> Json:
    return {
        "unit": "images/s",
        "median": None,
        "low": None,
        "high": None,
        "confidence": CONFIDENCE,
        "precision_target": target,
        "steps": measured.steps,
        "window_steps": measured.window_steps,
        "timed_steps": measured.timed_steps,
        "warmup_steps": measured.warmup_steps,
        "warmup_stable": measured.warmup_stable,
        "first_step_seconds": measured.first_step_seconds,
        "step_seconds": None,
    } | (summary or {})


def _job(record: Record) -> Json | None:
    cluster = record.settings.cluster
    if cluster is None:
        return None
    return {
        "rank": cluster.rank,
        "workers": [str(worker) for worker in cluster.workers],
        "weights_sha256": record.weights_sha256,
    }


def _training(record: Record) -> Json:
    epochs = record.learning.epochs
    return {
        "loss_first": record.measurement.loss_first,
        "loss_last": record.measurement.loss_last,
        "epochs": [asdict(epoch) for epoch in epochs],
        "accuracy": epochs[-1].accuracy if epochs else None,
        "target_accuracy": record.settings.target_accuracy,
        "time_to_accuracy_seconds": record.learning.time_to_accuracy_seconds,
    }
