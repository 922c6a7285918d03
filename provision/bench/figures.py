"""What a result says beside its speed; None where it was not measured."""

from __future__ import annotations

from dataclasses import dataclass

from provision.bench.results import Result


@dataclass(frozen=True, slots=True)
class Figures:
    """More of one result.

    Attributes:
        of_convolution: Operations a second as a share of those of the device's fastest
            convolution, measured in the same run.
        of_matmul: The same of its fastest matrix product.
        joules_per_image: Of the GPUs while steps were timed.
        accuracy: Share of the test images after the last epoch.
        target_accuracy: What the epochs were to reach.
        seconds_to_accuracy: Of training until they did.
    """

    of_convolution: float | None
    of_matmul: float | None
    joules_per_image: float | None
    accuracy: float | None
    target_accuracy: float | None
    seconds_to_accuracy: float | None


def figures_of(result: Result) -> Figures:
    """Return what the document of a result has."""
    document = result.document
    ceilings = document.get("ceilings") or {}
    energy = (document.get("telemetry") or {}).get("energy") or {}
    training = document.get("training") or {}
    return Figures(
        ceilings.get("of_convolution"),
        ceilings.get("of_matmul"),
        energy.get("gpu_joules_per_image"),
        training.get("accuracy"),
        training.get("target_accuracy"),
        training.get("time_to_accuracy_seconds"),
    )
