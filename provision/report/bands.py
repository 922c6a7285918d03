"""Published figures that a reader may hold a result against, and which belong beside which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from provision.bench.compare import Comparison

VIRTUAL = frozenset({"passthrough", "vgpu", "group"})


@dataclass(frozen=True, slots=True)
class Published:
    """A published figure.

    Attributes:
        what: What was compared with what.
        figure: As it was published.
        source: By whom, and where.
        baseline: The GPU mode that it is a share of; None where it belongs to no comparison.
        modes: The modes that it was measured in.
    """

    what: str
    figure: str
    source: str
    baseline: str | None = None
    modes: frozenset[str] = frozenset()


BANDS = (
    Published("training in a VM against bare metal (ResNet)", "within 5 %", "Dell",
              "bare-metal", VIRTUAL),
    Published("MLPerf inference on A100 and H100 vGPUs against bare metal", "94 to 105 %",
              "VMware, MLPerf Inference v1.1 and v3.0", "bare-metal", frozenset({"vgpu"})),
    Published("MNIST training time, DirectPath I/O against vGPU", "a few per cent apart",
              "VMware performance studies", "passthrough", frozenset({"vgpu"})),
    Published("CIFAR-10 images/s, vGPU against DirectPath I/O", "83 %",
              "VMware performance studies", "passthrough", frozenset({"vgpu"})),
    Published("four GPUs in one VM against one", "3.77 times", "VMware performance studies"),
)  # fmt: skip


def beside(comparison: Comparison) -> Iterator[Published]:
    """Yield the figures that were published of a baseline and a mode that both stand there.

    None stands beside simulated machines: they hold no GPU.
    """
    real = {r.result.machine.gpu_mode for r in comparison.rows if not r.result.machine.simulated}
    for band in BANDS:
        if band.baseline == comparison.baseline and band.baseline in real and band.modes & real:
            yield band
