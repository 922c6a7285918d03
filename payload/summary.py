"""What the step times come to."""

from __future__ import annotations

from payload import statistics
from payload.document import Json, Record
from payload.measurement import Measurement


def sum_up(record: Record) -> None:
    """Note in `record` what its step times come to, if it has any."""
    settings = record.settings
    if not record.measurement.steps:
        return
    record.summary = summarise(record.measurement, settings.global_batch_size, settings.seed)
    if record.ceilings is not None and record.flops is not None:
        one_device = record.summary["median"] / settings.devices
        record.ceilings |= achieved(record.ceilings, record.flops["training"], one_device)


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


def achieved(ceilings: Json, flop_per_image: int, images_per_second: float) -> Json:
    """Return the model's operations per second on one device, and their share of the ceilings.

    Args:
        ceilings: What `Ceilings.measure` returned.
        flop_per_image: Of one image's training.
        images_per_second: Of one device.
    """
    flop_per_second = flop_per_image * images_per_second

    def share(name: str) -> float | None:
        ceiling = ceilings[name]
        return None if ceiling is None else flop_per_second / float(ceiling["per_second"])

    return {
        "flop_per_second": flop_per_second,
        "of_matmul": share("matmul"),
        "of_convolution": share("convolution"),
    }
