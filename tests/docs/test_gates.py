"""docs/gates.md names every check of the gate, and none that is not there."""

from __future__ import annotations

from pathlib import Path

from tests.docs.reading import tables
from tests.gate.packed import run_gate


def test_every_check_is_there(tmp_path: Path) -> None:
    verdict = run_gate({"mode": "none"}, tmp_path / "gate.json", "/nowhere")
    documented = list(tables("gates.md")["What is checked"])
    assert documented == [check["id"] for check in verdict["checks"]]
