"""What comes before the first step: the engine, the data, the model and its trainer.

This module imports Keras: what runs before an engine is loaded imports this one late.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras

from payload import arithmetic, flops, models
from payload.data import shares
from payload.data.dataset import Dataset
from payload.data.feeds import describe_feed
from payload.document import Record
from payload.engines import objective
from payload.engines.port import Engine
from payload.loop import Trainer
from payload.machine import hardware
from payload.settings import Settings


def set_up(engine: Engine, settings: Settings, record: Record) -> Settings:
    """Set the engine up, note it, and return the settings that it can carry out.

    Raises:
        PayloadError: If the engine or its devices can't be had.
    """
    engine.set_up(settings)
    record.framework = engine.describe()
    flags = hardware.cpu(Path("/"))["flags"]
    precision, lacking = arithmetic.chosen(settings.precision, record.framework["gpus"], flags)
    if lacking is not None:
        record.warnings.append(lacking)
        settings = record.settings = replace(settings, precision=precision)
    return settings


def prepare(engine: Engine, settings: Settings, record: Record) -> Trainer:
    """Return a trainer with fresh weights, and note data and model in `record`.

    Raises:
        PayloadError: If the data or the model can't be had.
    """
    dataset = shares.load(settings)
    record.data |= dataset.describe()
    record.input |= describe_feed(dataset)
    with engine.errors():
        model = build_model(engine, settings)
        record.parameters = model.count_params()
        record.flops = flops.per_image(model).as_dict()
        record.convolutions = flops.costliest(model)
        return build_trainer(engine, model, dataset, settings)


def build_model(engine: Engine, settings: Settings) -> keras.Model:
    """Return the model, with the weights that the seed gives."""
    with engine.scope():
        model = models.build(
            settings.model,
            image_shape=settings.image_shape,
            classes=settings.classes,
            precision=settings.precision,
            parts=engine.parts(settings.precision),
        )
        objective.initialise(model, settings.seed)
    return model


def build_trainer(
    engine: Engine, model: keras.Model, dataset: Dataset, settings: Settings
) -> Trainer:
    """Return what trains `model` with the optimizer that goes with it."""
    with engine.scope():
        optimizer = models.optimizer(
            settings.model,
            precision=settings.precision,
            learning_rate=settings.learning_rate,
            parts=engine.parts(settings.precision),
        )
    return engine.trainer(model, optimizer, dataset, settings)
