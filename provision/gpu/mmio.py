"""The 64-bit MMIO space that a VM with GPUs needs."""

from __future__ import annotations

from collections.abc import Iterable

SMALLEST_GB = 64


def mmio_size_gb(framebuffers_gib: Iterable[int]) -> int:
    """Return `pciPassthru.64bitMMIOSizeGB` for a VM, in GB; 0 without cards.

    N = nextpow2(sum over cards of max(64, 2 * nextpow2(framebuffer))), which reproduces the
    sizes that VMware publishes for V100, A30, A100 and H100 (KB 2142307; Denneman, 2023-05-30).

    Args:
        framebuffers_gib: The framebuffer of each *physical* card in GiB, also for a vGPU that
            is only a part of its card: the guest maps the whole BAR.

    Raises:
        ValueError: A framebuffer is not positive.
    """
    total = 0
    for framebuffer in framebuffers_gib:
        if framebuffer <= 0:
            raise ValueError(f"a card's framebuffer must be positive, not {framebuffer} GiB")
        total += max(SMALLEST_GB, 2 * _next_power_of_two(framebuffer))
    return _next_power_of_two(total) if total else 0


def _next_power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
