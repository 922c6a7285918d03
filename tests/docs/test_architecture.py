"""docs/architecture.md names files and functions that are there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from tests.docs.reading import DOCS, tables

ROOT = Path(__file__).parents[2]
TEXT = (DOCS / "architecture.md").read_text(encoding="utf-8")
PLACES = sorted(set(re.findall(r"`([\w./-]+(?:/|\.py|\.yaml|\.yml|\.lab\.yaml))`", TEXT)))
FUNCTIONS = [
    ("spec.reader", "load_lab"),
    ("vsphere.vcenter", "VCenter"),
    ("vsphere.port", "Port"),
    ("plan.planner", "plan"),
    ("apply.runner", "apply"),
    ("guests.configure", "reach_guests"),
    ("guests.configure", "configure"),
    ("bench.schedule", "bench"),
    ("bench.compare", "compare"),
]


@pytest.mark.parametrize("place", PLACES)
def test_every_place_is_there(place: str) -> None:
    roots = (ROOT, ROOT / "provision", ROOT / "tests", ROOT / "provision" / "simulator")
    assert [root for root in roots if (root / place).exists()]


@pytest.mark.parametrize(("module", "name"), FUNCTIONS)
def test_every_function_is_there(module: str, name: str) -> None:
    assert f"`{module}.{name}" in TEXT or f"`{name}" in TEXT
    assert hasattr(importlib.import_module(f"provision.{module}"), name)


def test_every_room_is_there() -> None:
    listed = " ".join(tables("architecture.md")["Rooms"])
    rooms = [path.parent.name for path in (ROOT / "provision").glob("*/__init__.py")]
    assert [room for room in rooms if f"provision/{room}/" not in listed] == []


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_links_between_the_pages_lead_somewhere(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (DOCS / target).exists(), target
