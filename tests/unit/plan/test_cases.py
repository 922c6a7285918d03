"""Every file of tests/data/plan is a world, a lab, and what the plan must say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.plan.model import Action, Finding
from provision.plan.planner import plan
from tests.unit.plan import worlds

DATA = Path(__file__).parents[2] / "data" / "plan"
CASES = sorted(DATA.glob("*.yaml"))


def shown(action: Action) -> str:
    """Return an action on one line: `create vroom-a-1 esx-01 0000:10:00.0=PROFILE`."""
    cards = [f"{c.address}={c.profile or 'passthrough'}" for c in action.cards]
    return " ".join([action.kind, action.machine, *([action.host] if action.host else []), *cards])


def agrees(finding: Finding, expected: dict[str, Any]) -> bool:
    exact = {"severity": finding.severity.value, "code": finding.code, "object": finding.subject}
    texts = {"message": finding.message, "fix": finding.fix}
    return all(exact[key] == value for key, value in expected.items() if key in exact) and all(
        part in texts[key]
        for key, parts in expected.items()
        if key in texts
        for part in ([parts] if isinstance(parts, str) else parts)
    )


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_plan_is_what_the_case_says(path: Path) -> None:
    case = yaml.safe_load(path.read_text("utf-8"))
    lab = worlds.lab(case["lab"])
    agreed = {name: case.get(name, False) for name in ("allow_shrink", "allow_restart")}
    result = plan(lab, worlds.snapshot(case["world"], lab), **agreed)
    expect = case["expect"]
    findings = "\n".join(map(str, result.findings))
    assert [shown(action) for action in result.actions] == expect["actions"], findings
    wanted = expect.get("findings", [])
    assert len(result.findings) == len(wanted), findings
    for finding, expected in zip(result.findings, wanted, strict=True):
        assert agrees(finding, expected), f"{expected}\n{finding}"
    by_machine = {action.machine: action for action in result.actions}
    for machine, text in expect.get("reasons", {}).items():
        assert by_machine[machine].reason == text
    for machine, changes in expect.get("changes", {}).items():
        got = [f"{c.path}: {c.old} → {c.new}" for c in by_machine[machine].changes]
        assert got == changes
    for machine, settings in expect.get("settings", {}).items():
        assert dict(by_machine[machine].settings) == settings
