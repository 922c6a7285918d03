"""How modes and numbers are called in tables, charts and pages."""

from __future__ import annotations

from collections.abc import Iterator

from provision.bench.gates import FAILED
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
    gates = (("", result.gate), ("after the run: ", result.gate_after))
    shown: set[str] = set()
    for when, gate in gates:
        for check in gate.in_state(FAILED) if gate else ():
            if check.id not in shown:
                yield from (f"{when}{check.id}: {line}" for line in check.evidence)
            shown.add(check.id)


def speed(value: float) -> str:
    """Return images per second with three significant digits, and never fewer than its integer."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"  # noqa: PLR2004 - three digits
