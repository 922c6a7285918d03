"""Why a GPU's clock is not higher: NVML's bit field of clock event reasons (nvml.h)."""

from __future__ import annotations

from collections.abc import Mapping

BITS: Mapping[str, int] = {
    "idle": 0x1,
    "application-clocks": 0x2,
    "power-cap": 0x4,
    "hardware-slowdown": 0x8,
    "sync-boost": 0x10,
    "software-thermal": 0x20,
    "hardware-thermal": 0x40,
    "power-brake": 0x80,
    "display-clock": 0x100,
}

SLOWED = ("hardware-slowdown", "software-thermal", "hardware-thermal", "power-brake")
"""Too hot, or too little current: the card is not itself. A power cap is how it is meant to run."""


def names(bits: int) -> tuple[str, ...]:
    """Return the names of the bits that are set, and of unknown ones their value."""
    known = tuple(name for name, bit in BITS.items() if bits & bit)
    rest = bits & ~sum(BITS.values())
    return (*known, f"{rest:#x}") if rest else known


def shares(samples: list[int]) -> dict[str, float]:
    """Return the share of the samples that have each reason, 0 to 1, without those never seen."""
    found = [names(bits) for bits in samples]
    every = sorted({name for each in found for name in each})
    return {name: sum(name in each for each in found) / len(samples) for name in every}


def slowed_share(samples: list[int]) -> float:
    """Return the share of the samples in which heat or current slowed the card, 0 to 1."""
    mask = sum(BITS[name] for name in SLOWED)
    return sum(bool(bits & mask) for bits in samples) / len(samples)
