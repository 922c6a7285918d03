"""One training run, from its settings to a filled record.

This module imports Keras: what runs before an engine is loaded imports this one late.
"""

from __future__ import annotations

from payload import flops, models, shares, statistics
from payload.document import Json, Record
from payload.engines import objective
from payload.engines.port import Engine
from payload.feeds import describe_feed
from payload.loop import Limits, Loop, Surroundings, Trainer
from payload.measurement import Measurement
from payload.settings import Settings


def train(engine: Engine, settings: Settings, record: Record, surroundings: Surroundings) -> None:
    """Train as `settings` say and note everything in `record`, also when it fails midway.

    Raises:
        PayloadError: If the run fails or is interrupted.
    """
    measurement = record.measurement
    try:
        trainer = prepare(engine, settings, record)
        record.input |= {"images_per_second_alone": trainer.feed_images_per_second()}
        if settings.epochs:
            trainer.remember_start()
        loop = Loop(trainer, measurement, surroundings)
        limits = Limits(
            settings.steps, settings.time_limit, settings.seed, settings.precision_target
        )
        loop.measure(limits)
        if settings.epochs:
            loop.learn(settings.epochs, settings.target_accuracy, record.learning)
        if settings.cluster is not None:
            record.weights_sha256 = trainer.digest()
    finally:
        if measurement.steps:
            record.summary = summarise(measurement, settings.global_batch_size, settings.seed)


def prepare(engine: Engine, settings: Settings, record: Record) -> Trainer:
    """Return a trainer with fresh weights, and note engine, data and model in `record`.

    Raises:
        PayloadError: If the engine, the data or the model can't be had.
    """
    engine.set_up(settings)
    record.framework = engine.describe()
    dataset = shares.load(settings)
    record.data |= dataset.describe()
    record.input |= describe_feed(dataset)
    with engine.errors(), engine.scope():
        model = models.build(
            settings.model,
            image_shape=settings.image_shape,
            classes=settings.classes,
            precision=settings.precision,
        )
        objective.initialise(model, settings.seed)
        record.parameters = model.count_params()
        record.flops = flops.per_image(model).as_dict()
        optimizer = models.optimizer(
            settings.model, precision=settings.precision, learning_rate=settings.learning_rate
        )
    with engine.errors():
        return engine.trainer(model, optimizer, dataset, settings)


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
