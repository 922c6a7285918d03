"""One training run, from its settings to a filled record.

This module imports Keras: what runs before an engine is loaded imports this one late.
"""

from __future__ import annotations

from contextlib import nullcontext

from payload import preparation
from payload.ceilings import Ceilings
from payload.document import Json, Record
from payload.engines.port import Engine
from payload.loop import Limits, Loop, Moment, Surroundings, Trainer
from payload.probe import Timer
from payload.settings import Settings
from payload.summary import sum_up
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
            sum_up(record)


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
