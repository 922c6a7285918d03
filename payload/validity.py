"""Whether a finished run may be compared with others, and why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from payload.measurement import Measurement

MIN_WINDOWS = 3
"""Fewer step times have no interval worth the name."""


def too_few_steps(measured: Measurement) -> list[str]:
    """Return a reason if the time limit left too few timed windows."""
    if measured.stopped_by != "time-limit" or len(measured.steps) >= MIN_WINDOWS:
        return []
    counted = f"{len(measured.steps)} timed within the limit, {MIN_WINDOWS} are needed"
    return [f"too-few-steps: {counted}; give a longer --time-limit or a smaller --batch-size"]


def gpu_reasons(
    gpus: Sequence[Mapping[str, Any]], framework: Mapping[str, Any], visible: str | None
) -> list[str]:
    """Return the reasons why figures are not those of the GPU that the machine has.

    Args:
        gpus: What `nvidia-smi` lists.
        framework: What the engine sees (`Engine.describe`).
        visible: `CUDA_VISIBLE_DEVICES`: where it is set, the user decided what is seen.
    """
    reasons = [
        f"unlicensed: {gpu['name']} ({gpu['uuid']}) is a vGPU without a licence and is throttled"
        for gpu in gpus
        if gpu.get("virtualization") == "VGPU"
        and not (gpu.get("licence") or "").lower().startswith("licensed")
    ]
    if gpus and not framework["gpus"] and visible is None:
        reasons.append(
            f"gpu-unseen: nvidia-smi lists {len(gpus)}, the engine sees none and used the CPU; "
            "install one with CUDA, or set CUDA_VISIBLE_DEVICES to measure the CPU"
        )
    return reasons
