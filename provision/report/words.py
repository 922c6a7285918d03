"""How modes and numbers are called in tables, charts and pages."""

from __future__ import annotations

from collections.abc import Iterator

from provision.bench.gates import FAILED, Gate
from provision.bench.results import MachineFacts, Result

MODES = {
    "bare-metal": "bare metal",
    "passthrough": "passthrough",
    "vgpu": "vGPU",
    "group": "device group",
    "none": "no GPU",
}

SIMULATED = "simulated"
SIMULATED_NOTE = (
    "Simulated guests hold no GPU: every number marked “simulated” was trained on the CPU of "
    "the machine that ran the simulator. It shows that the pipeline works, not how fast a GPU is."
)


def mode_of(machine: MachineFacts) -> str:
    """Return the GPU mode of a machine in words, with its profile or card."""
    words = MODES.get(machine.gpu_mode, machine.gpu_mode)
    count = f"{machine.gpu_count} x " if machine.gpu_count > 1 else ""
    return f"{words} {count}{machine.gpu}" if machine.gpu else words


def evidence(result: Result) -> Iterator[str]:
    """Yield what shows that a gate was not passed, as the machine said it."""
    before = [check.id for check in result.gate.in_state(FAILED)] if result.gate else []
    if result.gate:
        yield from proof(result.gate)
    if result.gate_after:
        again = (line for line in proof(result.gate_after) if line.partition(":")[0] not in before)
        yield from (f"after the run: {line}" for line in again)


def proof(gate: Gate) -> Iterator[str]:
    """Yield the evidence of the checks that failed, each line with the name of its check."""
    for check in gate.in_state(FAILED):
        yield from (f"{check.id}: {line}" for line in check.evidence)


def speed(value: float) -> str:
    """Return images per second with three significant digits, and never fewer than its integer."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"  # noqa: PLR2004 - three digits


def share(value: float | None) -> str:
    """Return a share in per cent, with three significant digits; nothing for None."""
    if value is None:
        return ""
    percent = 100 * value
    return f"{percent:.0f} %" if percent >= 100 else f"{percent:#.3g} %"  # noqa: PLR2004


def size(count: float | None) -> str:
    """Return bytes as MB or GB, of ten to the sixth and the ninth."""
    if count is None:
        return ""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"  # noqa: PLR2004
