"""One training run, from its settings to a filled record.

This module imports Keras: what runs before an engine is loaded imports this one late.
"""

from __future__ import annotations

from contextlib import nullcontext

from payload import preparation, statistics
from payload.ceilings import Ceilings, achieved
from payload.document import Json, Record
from payload.engines.port import Engine
from payload.loop import Limits, Loop, Moment, Surroundings, Trainer
from payload.measurement import Measurement
from payload.probe import Timer
from payload.settings import Settings
from payload.tuning import choice, memory
from payload.tuning.choice import Switchable


def train(engine: Engine, settings: Settings, record: Record, surroundings: Surroundings) -> None:
    """Train as `settings` say and note everything in `record`, also when it fails midway.

    Raises:
        PayloadError: If the run fails or is interrupted.
    """
    settings = preparation.set_up(engine, settings, record)
    framework = record.framework or {}
    # A GPU's driver maps far more memory than it uses.
    with nullcontext() if framework["gpus"] else memory.bounded() as limit:
        framework["memory_limit_bytes"] = limit
        try:
            trainer = preparation.prepare(engine, settings, record)
            _run(engine, trainer, settings, record, surroundings)
        finally:
            _sum_up(settings, record)


def _run(
    engine: Engine,
    trainer: Trainer,
    settings: Settings,
    record: Record,
    surroundings: Surroundings,
) -> None:
    if settings.ceilings != "only":
        _train(trainer, settings, record, surroundings)
    # In a job the probes would disturb each other; the run of one worker alone has them.
    if settings.ceilings != "off" and settings.cluster is None:
        record.ceilings = _ceilings(engine, settings, record, surroundings)
    if settings.epochs:
        Loop(trainer, record.measurement, surroundings).learn(
            settings.epochs, settings.target_accuracy, record.learning
        )
    if settings.cluster is not None:
        record.weights_sha256 = trainer.digest()


def _train(
    trainer: Trainer, settings: Settings, record: Record, surroundings: Surroundings
) -> None:
    """Measure the feed alone, choose the faster step if there is a choice, measure the steps."""
    record.input |= {"images_per_second_alone": trainer.feed_images_per_second()}
    if settings.xla == "auto" and isinstance(trainer, Switchable):
        batch_size = settings.global_batch_size
        record.xla_trials = choice.faster(trainer, batch_size, settings.seed, surroundings)
    if settings.epochs:
        trainer.remember_start()
    limits = Limits(settings.steps, settings.time_limit, settings.seed, settings.precision_target)
    Loop(trainer, record.measurement, surroundings).measure(limits)


def _ceilings(
    engine: Engine, settings: Settings, record: Record, surroundings: Surroundings
) -> Json:
    """Measure what the device does at best, now that it is as warm as the steps made it."""
    timer = Timer(surroundings.clock, surroundings.check_stop, settings.ceiling_seconds)
    has_gpu = bool(record.framework and record.framework["gpus"])
    measured = Ceilings(engine, settings.precision, timer, has_gpu=has_gpu).measure(
        record.convolutions, lambda name: surroundings.progress(Moment(f"ceiling: {name}"))
    )
    if settings.ceilings == "only":
        record.measurement.stopped_by = "ceilings"
    return measured


def _shares(settings: Settings, record: Record) -> Json:
    """Return what the model achieved on one device, and its share of the ceilings."""
    if record.ceilings is None or record.summary is None or record.flops is None:
        return {}
    one_device = record.summary["median"] * settings.batch_size / settings.global_batch_size
    return achieved(record.ceilings, record.flops["training"], one_device)


def _sum_up(settings: Settings, record: Record) -> None:
    if not record.measurement.steps:
        return
    record.summary = summarise(record.measurement, settings.global_batch_size, settings.seed)
    if record.ceilings is not None:
        record.ceilings |= _shares(settings, record)


def summarise(measurement: Measurement, batch_size: int, seed: int) -> Json:
    """Return images/s with their interval, and percentiles of the seconds per step."""
    steps = measurement.steps
    fast, slow = statistics.bootstrap_interval(steps, seed=seed)
    middle = statistics.median(steps)
    return {
        "median": batch_size / middle,
        "low": batch_size / slow,
        "high": batch_size / fast,
        "step_seconds": {
            "median": middle,
            "p90": statistics.percentile(steps, 90),
            "p99": statistics.percentile(steps, 99),
        },
    }
