"""Terms of the GPU domain that every room shares."""

from __future__ import annotations

from enum import StrEnum


class CardMode(StrEnum):
    """What a host lets a card be used for."""

    PASSTHROUGH = "passthrough"
    SHARED = "shared"
    NONE = "none"


class VgpuMode(StrEnum):
    """How a card in shared mode is divided; values are vSphere's (`HostGraphicsInfo.vgpuMode`)."""

    SAME_SIZE = "sameSize"
    MIXED_SIZE = "mixedSize"
    MIG = "multiInstanceGpu"


class AssignmentPolicy(StrEnum):
    """Which card of a host a new vGPU goes to; values are vSphere's.

    Source: `vim.host.GraphicsConfig.sharedPassthruAssignmentPolicy`. `performance` takes the
    card with the fewest vGPUs (breadth first), `consolidation` fills one card before it opens
    the next (depth first).
    """

    PERFORMANCE = "performance"
    CONSOLIDATION = "consolidation"


class Series(StrEnum):
    """What a vGPU profile is licensed for: the letter behind the size in its name."""

    APPLICATIONS = "a"
    PC = "b"
    COMPUTE = "c"
    WORKSTATION = "q"
