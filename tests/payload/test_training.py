"""Real training with TensorFlow, small enough for seconds."""

from datetime import UTC, datetime
from typing import Any

import pytest
import tensorflow as tf

from payload import engines, preparation
from payload.document import Record
from payload.engines.tensorflow import classified
from payload.errors import EngineFailed, OutOfMemory
from payload.loop import Trainer
from payload.machine.environment import Observer
from payload.settings import PRECISIONS, Settings

ENGINE = engines.load("tensorflow")


def trainer_for(settings: Settings) -> Trainer:
    record = Record(settings, datetime.now(UTC))
    return preparation.prepare(ENGINE, preparation.set_up(ENGINE, settings, record), record)


def supported() -> list[str]:
    """Precisions that this CPU can compute: oneDNN refuses bfloat16 without AVX-512."""
    capable = "avx512f" in Observer().describe()["cpu"]["flags"]
    return [name for name in PRECISIONS if capable or name != "mixed_bf16"]


@pytest.mark.parametrize("precision", supported())
def test_every_precision_learns_synthetic_images_by_heart(precision: str) -> None:
    trainer = trainer_for(Settings("mnist", 8, precision))
    first = trainer.run(1)
    assert trainer.run(100) < first / 2


def test_vgg_learns_small_synthetic_images_from_the_first_step() -> None:
    trainer = trainer_for(Settings("vgg11", 4, image_size=32, channels=3))
    first = trainer.run(1)
    assert trainer.run(20) < first / 2


def test_a_seed_gives_the_same_losses_and_a_restart_too() -> None:
    settings = Settings("mnist", 64, data="digits", seed=3)
    trainer = trainer_for(settings)
    trainer.remember_start()
    losses = [trainer.run(1) for _ in range(3)]
    assert [trainer_for(settings).run(1)] == pytest.approx(losses[:1], rel=1e-4)
    trainer.restart()
    assert [trainer.run(1) for _ in range(3)] == pytest.approx(losses, rel=1e-3)


def test_what_synthetic_data_can_not_do_is_refused() -> None:
    trainer = trainer_for(Settings("mnist", 8))
    with pytest.raises(ValueError, match="no test images"):
        trainer.accuracy()
    with pytest.raises(RuntimeError, match="remember_start"):
        trainer.restart()


def test_an_allocation_that_fails_is_out_of_memory() -> None:
    with pytest.raises(OutOfMemory, match="OOM when allocating"), ENGINE.errors():
        tf.zeros([1 << 47])


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (tf.errors.ResourceExhaustedError(None, None, "failed to allocate"), OutOfMemory),
        (tf.errors.InternalError(None, None, "CUDA_ERROR_OUT_OF_MEMORY: failed"), OutOfMemory),
        (tf.errors.InternalError(None, None, "CUDNN_STATUS_ALLOC_FAILED"), OutOfMemory),
        (tf.errors.InternalError(None, None, "CUDA_ERROR_LAUNCH_FAILED"), EngineFailed),
        (tf.errors.UnimplementedError(None, None, "{{node x}} no bf16\nat: y"), EngineFailed),
        (tf.errors.AbortedError(None, None, ""), EngineFailed),
        (tf.errors.AbortedError(None, None, "an exception:Status:1, message: could"), OutOfMemory),
        (tf.errors.AbortedError(None, None, "an exception:Status:3, message: could"), EngineFailed),
    ],
)
def test_errors_of_tensorflow_are_classified_by_class_and_text(error: Any, kind: type) -> None:
    found = classified(error)
    assert type(found) is kind
    assert "{{" not in found.reason
    assert "\n" not in found.reason


def test_the_cause_is_found_in_an_error_of_a_compiled_step() -> None:
    @tf.function
    def refused(index: Any) -> Any:
        return tf.gather(tf.range(3), index)

    cause = "^InvalidArgumentError: indices = 5 is not in"
    with pytest.raises(EngineFailed, match=cause), ENGINE.errors():
        refused(tf.constant(5))
