"""Machines as their files tell of them; a case is a file in tests/data/payload/machines."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from payload.machine import hardware

MACHINES = sorted((Path(__file__).parents[1] / "data/payload/machines").glob("*.yaml"))


@pytest.fixture(params=MACHINES, ids=lambda path: path.stem)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A root with the files of a case, and what is expected of it."""
    found = yaml.safe_load(request.param.read_text())
    for path, text in found["files"].items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path, found["expect"]


def test_a_machine_is_described(case: tuple[Path, dict[str, Any]]) -> None:
    root, expect = case
    assert hardware.platform_name(root) == expect["platform"]
    assert hardware.hypervisor(root) == expect["hypervisor"]
    found = hardware.cpu(root)
    assert {key: found[key] for key in expect["cpu"]} == expect["cpu"]
    if "memory" in expect:
        assert hardware.memory(root) == expect["memory"]
    for address, node in expect.get("pci", {}).items():
        assert hardware.pci_numa_node(root, address) == node


@pytest.mark.parametrize("address", [None, "", "../../etc", "[N/A]"])
def test_what_is_no_pci_address_is_looked_up_nowhere(tmp_path: Path, address: str | None) -> None:
    assert hardware.pci_numa_node(tmp_path, address) is None


def test_a_pinned_process_says_where(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        found = hardware.cpu(tmp_path)
    finally:
        os.sched_setaffinity(0, before)
    assert found["usable"] == 1
    assert found["affinity"] == ([min(before)] if os.cpu_count() != 1 else None)
