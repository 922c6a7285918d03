"""The table of what machines proved."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from provision.bench.gates import Gate, gate_of
from provision.report.gates import render_gates


def check(name: str, state: str, seen: str, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "state": state,
        "seen": seen,
        "expected": "",
        "evidence": [],
        "fix": "",
        **more,
    }


def gate(*checks: dict[str, Any]) -> Gate:
    failed = [one["id"] for one in checks if one["state"] == "failed"]
    return gate_of({"passed": not failed, "reasons": failed, "checks": list(checks)})


GOOD = gate(check("gpu-count", "passed", "1"), check("mig", "not-applicable", ""))
BAD = gate(
    check("gpu-count", "passed", "1"),
    check("xid", "failed", "Xid 79", evidence=["NVRM: Xid 79"], fix="reboot"),
)


def lines(gates: dict[str, Gate]) -> list[list[str]]:
    console = Console(file=io.StringIO(), width=120)
    console.print(render_gates(gates))
    assert isinstance(console.file, io.StringIO)
    return [line.split() for line in console.file.getvalue().splitlines()]


def test_of_a_few_machines_every_check_is_shown() -> None:
    shown = lines({"a": GOOD, "b": BAD})
    assert ["a", "gpu-count", "passed", "1"] in shown
    assert ["b", "xid", "failed", "Xid", "79"] in shown
    assert ["b:", "failed:", "xid:", "Xid", "79"] in shown
    assert shown[-2:] == [["NVRM:", "Xid", "79"], ["fix:", "reboot"]]
    assert not any("mig" in line for line in shown)


def test_of_many_machines_only_what_is_wrong_is_shown() -> None:
    shown = lines(dict.fromkeys("acdef", GOOD) | {"b": BAD})
    assert ["a", "all", "1", "passed"] in shown
    assert ["b", "1", "others", "passed"] in shown
    assert ["b", "xid", "failed", "Xid", "79"] in shown
    assert ["a", "gpu-count", "passed", "1"] not in shown
