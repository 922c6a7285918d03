"""The gate's verdict on every case of tests/data/gate/cases, by the program that guests get."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.gate.packed import FILES, run_gate
from tests.gate.states import CASES, Case, install, load

SCHEMA = Draft202012Validator(json.loads((FILES / "gate.schema.json").read_text()))
FAKE = Path(__file__).with_name("faketf")


def python_with_framework(folder: Path, case: Case) -> str:
    """Write a Python whose TensorFlow sees the case's GPUs, or that has none."""
    path = folder / "framework-python"
    seen = case.addresses if case.framework is None else case.framework
    words = f"exec {sys.executable} -S -I" if seen == "absent" else f"exec {sys.executable}"
    path.write_text(
        f"#!/bin/sh\nexport PYTHONPATH={FAKE} FAKE_GPUS='{json.dumps(seen)}'\n{words} \"$@\"\n"
    )
    path.chmod(0o755)
    return str(path)


def verdict_on(case: Case, folder: Path) -> dict[str, Any]:
    install(folder, case)
    question = {
        "machine": "lab-gpu-1",
        **case.plan,
        "root": str(folder / "root"),
        "framework_python": python_with_framework(folder, case),
        "deadline": 1 if case.sleep else 20,
    }
    path = f"{folder / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"
    return run_gate(question, folder / "gate.json", path)


@pytest.mark.parametrize("name", CASES)
def test_case(name: str, tmp_path: Path) -> None:
    case = load(name)
    verdict = verdict_on(case, tmp_path)
    SCHEMA.validate(verdict)
    states = {check["id"]: check["state"] for check in verdict["checks"]}
    for state in ("failed", "warned", "unknown"):
        found = {check for check, its in states.items() if its == state}
        assert found == set(case.expect.get(state, ())), (state, verdict["reasons"])
    assert verdict["passed"] is case.expect["passed"]
    checks = {check["id"]: check for check in verdict["checks"]}
    for check, words in case.expect.get("says", {}).items():
        assert words in checks[check]["seen"]
    for check, words in case.expect.get("evidence", {}).items():
        assert any(words in line for line in checks[check]["evidence"])
