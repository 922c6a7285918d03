"""Why numbers count or not, by what the machine proved before and after."""

from __future__ import annotations

from typing import Any

import pytest

from provision.bench.gates import NO_GATE, Gate, gate_of, why_invalid

CARD = {
    "index": 0, "address": "0000:03:00.0", "uuid": "GPU-a", "name": "NVIDIA A100", "ecc": "Enabled",
    "mig": "Disabled", "memory_mib": 81920.0, "virtualization": "Pass-Through",
    "licence": None, "power_limit_w": 300.0,
}  # fmt: skip
LICENSED = "Licensed (Expiry: 2026-3-3 9:14:0 GMT)"
RENEWED = "Licensed (Expiry: 2026-3-4 9:14:0 GMT)"


def gate(*reasons: str, cards: list[dict[str, Any]] | None = None, **changes: Any) -> Gate:
    module = {"version": "570.1", "flavour": "open"}
    document = {
        "version": 1, "kind": "vdl-gate", "passed": not reasons, "reasons": list(reasons),
        "driver": "570.133.20", "kernel_module": module, "host_driver": None,
        "cards": [CARD] if cards is None else cards,
    }  # fmt: skip
    return gate_of(document | changes)


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        (None, None, (NO_GATE,)),
        (gate(), None, ()),
        (gate(), gate(), ()),
        (gate("ecc: bad"), None, ("ecc: bad",)),
        (gate("ecc: bad"), gate("ecc: worse"), ("ecc: bad",)),
        (gate(), gate("clocks: hot"), ("after the run: clocks: hot",)),
        (
            gate("ecc: bad"),
            gate("ecc: bad", "xid: Xid 79"),
            ("ecc: bad", "after the run: xid: Xid 79"),
        ),
        (
            gate(),
            gate(cards=[CARD | {"power_limit_w": 250.0}]),
            ("changed during the run: power limit of GPU 0: 300, then 250",),
        ),
        (gate(), gate(cards=[]), ("changed during the run: GPU GPU-a is gone",)),
        (
            gate(),
            gate(cards=[CARD, CARD | {"index": 1, "uuid": "GPU-b"}]),
            ("changed during the run: GPU GPU-b is new",),
        ),
        (
            gate(),
            gate(kernel_module={"version": "570.1", "flavour": "proprietary"}),
            ("changed during the run: kernel module: 570.1 open, then 570.1 proprietary",),
        ),
        (gate(cards=[CARD | {"licence": LICENSED}]), gate(cards=[CARD | {"licence": RENEWED}]), ()),
        (gate(), gate(cards=[CARD | {"ecc": None}]), ()),
    ],
    ids=[
        "no gate", "not asked again", "the same", "not passed", "still not passed",
        "no more passed", "one more", "power limit", "GPU gone", "GPU new", "module",
        "licence renewed", "not told any more",
    ],
)  # fmt: skip
def test_a_number_counts_between_two_gates_that_agree(
    before: Gate | None, after: Gate | None, reasons: tuple[str, ...]
) -> None:
    assert why_invalid(before, after) == reasons


def test_a_verdict_from_before_there_were_checks_is_read() -> None:
    old = gate_of({"version": 1, "kind": "vdl-gate", "passed": False})
    assert (old.passed, old.reasons, old.checks) == (False, ("gate: not passed",), ())
    assert why_invalid(old, gate()) == ("gate: not passed",)
