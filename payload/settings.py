"""What one run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from payload.workers.cluster import Cluster

MODELS = ("mnist", "vgg11", "vgg13", "vgg16", "vgg19")
PRECISIONS = ("fp32", "mixed_bf16", "mixed_fp16")
ENGINES = ("tensorflow", "jax", "torch")
XLA = ("off", "on", "auto")

CEILINGS = ("on", "off", "only")

DEFAULT_TIME_LIMIT = 60.0
"""Seconds for warm-up and timed steps, where neither steps nor a limit are asked for."""
DEFAULT_PRECISION_TARGET = 0.01
"""Half the width of the interval of the median step time, as a share of it."""
DEFAULT_JOIN_SECONDS = 300.0
"""Loading an engine takes seconds, but machines of a job do not start at the same moment."""

CEILING_SECONDS = 3.0
CEILING_SHARE = 0.05
CEILING_SECONDS_WITHOUT_LIMIT = 1.0
"""How long each ceiling is measured: at most so many seconds and this share of the time limit."""

MAX = "max"
"""As batch size: the largest that fits."""
SYNTHETIC = "synthetic"
DIGITS = "digits"
KERAS = "keras"


def optimizer_of(model: str) -> tuple[str, float]:
    """Return the name of the optimizer that a model is trained with, and its learning rate.

    VGG's authors began with 0.01, for batches of 256 images. The batches of one device are smaller,
    and the rate goes with them (Goyal et al. 2017, arXiv 1706.02677): at 0.01 the loss of VGG-16
    leapt from 8.5 to 13.9 in the second step of 8 synthetic images.
    """
    return ("adam", 0.001) if model == "mnist" else ("sgd", 0.001)


@dataclass(frozen=True, slots=True)
class Settings:
    """One run: a model, a batch size, a precision, the data, and when to stop.

    Attributes:
        model: One of `MODELS`.
        batch_size: Images per training step and device.
        precision: One of `PRECISIONS`; the mixed ones keep weights and loss in float32.
        data: `synthetic`, `digits`, `keras`, the URL of a mirror, or the path of a file or folder.
        checksums: A `sha256sum` list to hold the files against, instead of the published one.
        steps: Timed steps to run, exactly; `None` runs until precise or until the time limit.
        time_limit: Seconds for warm-up and timed steps together; `None` for no limit.
        image_size: Height and width of the images.
        channels: 1 for grey images, 3 for colour images.
        classes: Number of labels.
        seed: Of the weights, the data order, the dropout, the synthetic data and the bootstrap.
        epochs: Passes over real data after the measurement; 0 for none.
        target_accuracy: Test accuracy, between 0 and 1, whose time is wanted.
        learning_rate: `None` takes the model's own.
        engine: One of `ENGINES`.
        devices: GPUs that train together; without a GPU, parts of the CPU.
        xla: One of `XLA`; `auto` measures both and takes the faster.
        tf32: Whether fp32 may be multiplied as TF32, on GPUs that have it.
        threads: Of the CPU; 0 is the engine's own choice.
        deterministic: Whether operations that add up in changing order are to be avoided.
        ceilings: One of `CEILINGS`: whether matmul, convolution and memory are measured as well,
            or only they.
        precision_target: The interval at which timing ends, as a share of the median.
        cluster: The workers of a job and the rank of this one; `None` for a run of its own.
        alone: The document of the same run by one worker, that a job's speed is held against.
        join_seconds: How long the workers of a job wait for each other.
    """

    model: str
    batch_size: int
    precision: str = "fp32"
    data: str = SYNTHETIC
    checksums: Path | None = None
    steps: int | None = None
    time_limit: float | None = DEFAULT_TIME_LIMIT
    image_size: int = 28
    channels: int = 1
    classes: int = 10
    seed: int = 0
    epochs: int = 0
    target_accuracy: float | None = None
    learning_rate: float | None = None
    engine: str = "tensorflow"
    devices: int = 1
    xla: str = "off"
    tf32: bool = True
    threads: int = 0
    deterministic: bool = False
    ceilings: str = "on"
    precision_target: float = DEFAULT_PRECISION_TARGET
    cluster: Cluster | None = None
    alone: Path | None = None
    join_seconds: float = DEFAULT_JOIN_SECONDS

    @property
    def ceiling_seconds(self) -> float:
        """Return how long each ceiling is measured: a small share of the run."""
        if self.time_limit is None:
            return CEILING_SECONDS_WITHOUT_LIMIT
        return min(CEILING_SECONDS, CEILING_SHARE * self.time_limit)

    @property
    def global_batch_size(self) -> int:
        """Return images per training step on all devices together."""
        return self.batch_size * self.devices

    @property
    def job_batch_size(self) -> int:
        """Return images per training step of all workers of a job together."""
        return self.global_batch_size * (1 if self.cluster is None else self.cluster.size)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return height, width and channels."""
        return self.image_size, self.image_size, self.channels
