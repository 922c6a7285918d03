"""Which precision a run really computes in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

NATIVE_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Flags of processors that multiply bfloat16; the last one is Arm's."""
FIRST_CAPABILITY = 8.0
"""NVIDIA's compute capability that brought bfloat16: Ampere."""


def chosen(
    asked: str, gpus: Sequence[Mapping[str, Any]], cpu_flags: Collection[str]
) -> tuple[str, str | None]:
    """Return the precision to compute in, and why it is another one than `asked`.

    Without hardware for it, bfloat16 is emulated: 0.42 of fp32's speed was measured on AVX-512
    alone, 0.07 without oneDNN, and oneDNN on AVX2 refuses it. So fp32 takes its place, under its
    own name.

    Args:
        asked: One of `settings.PRECISIONS`.
        gpus: What the engine sees (`Engine.describe`).
        cpu_flags: Of the processor, which counts where there is no GPU.
    """
    if asked != "mixed_bf16":
        return asked, None
    if gpus:
        slow = [gpu for gpu in gpus if float(gpu["compute_capability"] or 0) < FIRST_CAPABILITY]
        lacking = f"{slow[0]['name']} has" if slow else None
    else:
        lacking = None if NATIVE_BFLOAT16 & {*cpu_flags} else "this processor has"
    if lacking is None:
        return asked, None
    return "fp32", f"precision: {lacking} no bfloat16 of its own, so this run computed in fp32"
