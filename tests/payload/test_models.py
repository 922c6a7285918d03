"""Parameters and operations, against published counts (tests/data/payload/models.json)."""

import json
from pathlib import Path
from typing import Any

import pytest

from payload import flops, models

PUBLISHED = json.loads((Path(__file__).parents[1] / "data/payload/models.json").read_text())


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda case: case["model"])
def test_parameters_and_operations_are_those_published(published: dict[str, Any]) -> None:
    model = models.build(
        published["model"],
        image_shape=tuple(published["image_shape"]),
        classes=published["classes"],
        precision="fp32",
    )
    assert model.count_params() == published["parameters"]
    counted = flops.per_image(model)
    assert counted.forward / 2 / 1e9 == pytest.approx(published["forward_gmac"], rel=1e-3)
    if "training_gflop" in published:
        assert counted.training / 1e9 == pytest.approx(published["training_gflop"], rel=1e-3)


@pytest.mark.parametrize(
    ("precision", "compute"),
    [("fp32", "float32"), ("mixed_bf16", "bfloat16"), ("mixed_fp16", "float16")],
)
def test_mixed_precision_computes_low_and_keeps_weights_in_float32(
    precision: str, compute: str
) -> None:
    model = models.build("mnist", image_shape=(28, 28, 1), classes=10, precision=precision)
    assert model.output.dtype == compute
    assert {weight.dtype for weight in model.weights} == {"float32"}
