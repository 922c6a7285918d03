"""docs/lab-file.md says of every key of a lab file what the schema says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.spec.reader import load_lab
from provision.spec.schema import json_schema
from tests.docs.reading import blocks, tables
from tests.e2e.site import write_key

PAGE = "lab-file.md"
SCHEMA = json_schema()
HEADINGS = {
    "The file": SCHEMA,
    "`vcenter`": SCHEMA["$defs"]["VCenter"],
    "`guest`": SCHEMA["$defs"]["Guest"],
    "`defaults`": SCHEMA["$defs"]["Defaults"],
    "A group in `machines`": SCHEMA["$defs"]["MachineGroup"],
    "`gpu` with `vgpu`": SCHEMA["$defs"]["VgpuRequest"],
    "`gpu` with `passthrough`": SCHEMA["$defs"]["PassthroughRequest"],
    "`passthrough` by label": SCHEMA["$defs"]["LabelledCards"],
    "`gpu` with `group`": SCHEMA["$defs"]["GroupRequest"],
    "`drivers`": SCHEMA["$defs"]["Drivers"],
    "`drivers.vgpu`": SCHEMA["$defs"]["VgpuDriver"],
    "An entry of `benchmark`": SCHEMA["$defs"]["BenchmarkRun"],
}


def test_every_part_of_the_schema_has_its_table() -> None:
    assert tables(PAGE).keys() == HEADINGS.keys()
    assert len(HEADINGS) == len(SCHEMA["$defs"]) + 1


@pytest.mark.parametrize("heading", HEADINGS)
def test_every_key_is_there_with_its_default(heading: str) -> None:
    part = HEADINGS[heading]
    documented = {key: default_of(cells[0]) for key, cells in tables(PAGE)[heading].items()}
    required = part.get("required", [])
    assert documented == {
        key: "required" if key in required else known.get("default") or None
        for key, known in part["properties"].items()
    }


def default_of(cell: str) -> Any:
    if cell in {"*required*", "*none*"}:
        return "required" if cell == "*required*" else None
    return yaml.safe_load(cell.strip("`")) or None


def test_the_examples_are_lab_files(tmp_path: Path) -> None:
    examples = blocks(PAGE, "yaml lab")
    assert examples
    write_key(tmp_path / "key")
    for example in examples:
        path = tmp_path / "lab.yaml"
        path.write_text(example, encoding="utf-8")
        assert load_lab(path).resolve()
