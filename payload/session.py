"""One training run with TensorFlow, from its settings to a filled record.

This module imports TensorFlow; what runs without it imports this one late.
"""

from __future__ import annotations

import keras

from payload import data, flops, framework, models, statistics
from payload.document import Json, Record
from payload.loop import Limits, Loop, Surroundings
from payload.measurement import Measurement
from payload.settings import Settings
from payload.train import TensorFlowTrainer, engine_errors


def train(settings: Settings, record: Record, surroundings: Surroundings) -> None:
    """Train as `settings` say and note everything in `record`, also when it fails midway.

    Raises:
        PayloadError: If the run fails or is interrupted.
    """
    measurement = record.measurement
    try:
        trainer = _prepare(settings, record)
        if settings.epochs:
            trainer.remember_start()
        loop = Loop(trainer, measurement, surroundings)
        loop.measure(Limits(settings.steps, settings.time_limit, settings.seed))
        if settings.epochs:
            loop.learn(settings.epochs, settings.target_accuracy, record.learning)
    finally:
        if measurement.steps:
            record.summary = summarise(measurement, settings.batch_size, settings.seed)


def _prepare(settings: Settings, record: Record) -> TensorFlowTrainer:
    record.framework = framework.describe()
    dataset = data.load(settings)
    record.data |= dataset.describe()
    keras.utils.set_random_seed(settings.seed)
    with engine_errors():
        model = models.build(
            settings.model,
            image_shape=settings.image_shape,
            classes=settings.classes,
            precision=settings.precision,
        )
        record.parameters = model.count_params()
        record.flops = flops.per_image(model).as_dict()
        optimizer = models.optimizer(
            settings.model, precision=settings.precision, learning_rate=settings.learning_rate
        )
        return TensorFlowTrainer(
            model, optimizer, dataset, batch_size=settings.batch_size, seed=settings.seed
        )


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
