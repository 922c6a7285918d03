"""An entry of `benchmark` in a lab file: what is trained, how, and for how long."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PlainValidator, model_validator

from provision.spec.frozen import Frozen
from provision.spec.values import DataText

SYNTHETIC = "synthetic"
MNIST = "mnist"
Model = Literal["mnist", "vgg11", "vgg13", "vgg16", "vgg19"]
Precision = Literal["fp32", "mixed_bf16", "mixed_fp16"]
Engine = Literal["tensorflow", "jax", "torch"]
LARGEST_BATCH = 65_536
MAX = "max"


def _batch_size(value: object) -> object:
    # Pydantic would judge a wrong value by both types of the union, and report it twice.
    if value == MAX or (type(value) is int and 1 <= value <= LARGEST_BATCH):
        return value
    raise ValueError(f"must be between 1 and {LARGEST_BATCH:,}, or max, not {value!r:.40}")


def _share(value: float) -> float:
    if not 0 < value <= 1:
        raise ValueError(f"must be above 0 and at most 1, not {value:g}")
    return value


BatchSize = Annotated[
    int | Literal["max"],
    PlainValidator(
        _batch_size,
        json_schema_input_type=Annotated[int, Field(ge=1, le=LARGEST_BATCH)] | Literal["max"],
    ),
]
Share = Annotated[float, Field(strict=True), AfterValidator(_share)]


class BenchmarkRun(Frozen):
    """One payload run per combination of batch size, precision and engine."""

    model: Model = Field(description="Network to train.")
    batch_size: Annotated[tuple[BatchSize, ...], Field(min_length=1)] = Field(
        default=(64,), description="Images per step, or max for what fits; one run each."
    )
    precision: Annotated[tuple[Precision, ...], Field(min_length=1)] = Field(
        default=("fp32",), description="Arithmetic; one run each."
    )
    engine: Annotated[tuple[Engine, ...], Field(min_length=1)] = Field(
        default=("tensorflow",), description="What trains; one run each."
    )
    xla: Literal["on", "off", "auto"] | None = Field(
        default=None, description="Compile with XLA, or measure both; else the payload's default."
    )
    data: DataText = Field(
        default=SYNTHETIC,
        description="`synthetic`, `digits`, `keras`, the URL of a mirror, or a path in the guest.",
    )
    image_size: Annotated[int, Field(strict=True, ge=32, le=4096)] | None = Field(
        default=None, description="Height and width of the images, for vgg models only."
    )
    time_limit: Annotated[int, Field(strict=True, ge=1, le=86_400)] | None = Field(
        default=None,
        description="Seconds for warm-up and timed steps of each run; else the payload's default.",
    )
    precision_target: Share | None = Field(
        default=None,
        description="Stop when the interval of the speed is within this share of it.",
    )
    epochs: Annotated[int, Field(strict=True, ge=1, le=10_000)] | None = Field(
        default=None, description="Passes over real data after the measurement."
    )
    target_accuracy: Share | None = Field(
        default=None, description="End the epochs at this test accuracy and tell the time to it."
    )
    distributed: bool = Field(
        default=False,
        strict=True,
        description="Also train on all machines of each group together, as one job.",
    )

    @property
    def distributable(self) -> bool:
        """Whether the payload can train it on several machines together."""
        in_numbers = MAX not in self.batch_size
        return self.engine == ("tensorflow",) and self.xla in (None, "off") and in_numbers

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.image_size is not None and self.model == MNIST:
            raise ValueError("image_size goes with vgg models; mnist has 28")
        if self.epochs is not None and self.data == SYNTHETIC:
            raise ValueError("epochs need real data: there is nothing to learn in random images")
        if self.target_accuracy is not None and self.epochs is None:
            raise ValueError("target_accuracy needs epochs")
        if self.distributed and not self.distributable:
            raise ValueError(
                "distributed goes with engine tensorflow alone, batch sizes in numbers, and xla off"
            )
        return self
