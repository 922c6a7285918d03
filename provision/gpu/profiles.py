"""Names of vGPU profiles, taken apart without assuming what they begin with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from provision.gpu.types import Series

# `<prefix>_<gpu>[-<slices>]-<GB><series>[me]`: NVIDIA vGPU User Guide, "Virtual GPU Types". The
# GPU's own name may hold a hyphen (`rtx6000-ada`), its parts after one begin with a letter.
_NAME = re.compile(
    r"(?:(?P<prefix>[a-z]+)_)?"
    r"(?P<gpu>[a-z0-9_]+(?:-[a-z][a-z0-9]*)*)"
    r"(?:-(?P<slices>[1-7]))?"
    r"-(?P<size>[0-9]{1,4})(?P<series>[abcq])(?P<media>me)?",
)


@dataclass(frozen=True, slots=True)
class ProfileName:
    """The parts of a profile's name; `size_gb` is what the name says, not the exact framebuffer.

    Attributes:
        prefix: `grid` or `nvidia`, or "" where the name has none.
        gpu: The GPU as the name calls it, such as `a100d`.
        size_gb: Framebuffer in GB, rounded by NVIDIA to name the profile.
        series: A, B, C or Q.
        slices: Compute slices of a MIG-backed profile, None for a time-sliced one.
        media: Whether the MIG instance carries the media extensions (`me`).
    """

    prefix: str
    gpu: str
    size_gb: int
    series: Series
    slices: int | None = None
    media: bool = False

    @property
    def mig(self) -> bool:
        """Whether a MIG instance backs the profile."""
        return self.slices is not None

    @property
    def stem(self) -> str:
        """The name without its prefix, under which two spellings of one profile compare equal."""
        slices = f"-{self.slices}" if self.mig else ""
        return f"{self.gpu}{slices}-{self.size_gb}{self.series.value}{'me' if self.media else ''}"


@lru_cache(maxsize=4096)
def parse(name: str) -> ProfileName | None:
    """Take a profile's name apart, in any case; None where it is no profile name."""
    match = _NAME.fullmatch(name.strip().lower())
    if match is None:
        return None
    slices = match["slices"]
    return ProfileName(
        prefix=match["prefix"] or "",
        gpu=match["gpu"],
        size_gb=int(match["size"]),
        series=Series(match["series"]),
        slices=int(slices) if slices else None,
        media=match["media"] is not None,
    )
