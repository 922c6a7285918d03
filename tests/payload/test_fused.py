"""TensorFlow's fused parts train as Keras' own do: the same formulas, other kernels."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from keras import layers

from payload import engines, models
from payload.data import dataset
from payload.engines import objective
from payload.engines.fused import FusedAdam, FusedSGD, SeparateBiasConv2D
from payload.models import KERAS_PARTS, Parts
from payload.settings import Settings

ENGINE = engines.load("tensorflow")
VGG = Settings("vgg11", 4, image_size=32, channels=3, learning_rate=0.001)
MNIST = Settings("mnist", 32, data="digits")


def state_after(parts: Parts, settings: Settings, steps: int) -> list[np.ndarray[Any, Any]]:
    """Return all weights, then the optimizer's moments."""
    ENGINE.set_up(settings)
    model = models.build(
        settings.model, image_shape=settings.image_shape, classes=settings.classes,
        precision=settings.precision, parts=parts,
    )  # fmt: skip
    objective.initialise(model, settings.seed)
    optimizer = models.optimizer(
        settings.model, precision="fp32", learning_rate=settings.learning_rate, parts=parts
    )
    ENGINE.trainer(model, optimizer, dataset.load(settings), settings).run(steps)
    return [variable.numpy() for variable in (*model.variables, *optimizer.variables)]


@pytest.mark.parametrize("xla", ["off", "on"])
@pytest.mark.parametrize("settings", [MNIST, VGG], ids=["adam", "momentum"])
def test_weights_and_moments_come_out_as_with_keras_own_parts(settings: Settings, xla: str) -> None:
    settings = replace(settings, xla=xla)
    ours, of_keras = (
        state_after(parts, settings, steps=3) for parts in (ENGINE.parts("fp32"), KERAS_PARTS)
    )
    assert len(ours) == len(of_keras) > 20
    for one, other in zip(ours, of_keras, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-6)


def test_a_cpu_in_fp32_has_parts_of_its_own() -> None:
    assert ENGINE.parts("fp32") == Parts(SeparateBiasConv2D, FusedAdam, FusedSGD)
    assert ENGINE.parts("mixed_bf16") == Parts(layers.Conv2D, FusedAdam, FusedSGD)
