"""docs/exit-codes-and-json.md says what the commands really answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from provision.apply.result import Outcome
from provision.apply.status import State
from provision.cli.errors import ExitCode
from provision.simulator.server import Simulator
from tests.docs.reading import blocks, tables
from tests.e2e.site import PROFILE, WORLD, Site, settings
from tests.e2e.test_report import make_run, write_gate

PAGE = "exit-codes-and-json.md"
PROVISION = Path(__file__).parents[2] / "provision"
# `settings` and `hosts` have keys of their own for each machine and host.
OPEN = {"settings", "hosts"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("contracts")
    with Simulator.from_text(WORLD, folder=folder / "vcenter") as simulator:
        door = asdict(simulator.serve())
        site = Site(folder, settings(door), door)
        site.lab("lab", shared={"gpu": {"vgpu": PROFILE}})
        site.lab("greedy", whole={"count": 3, "gpu": {"vgpu": "grid_a100d-80c"}})
        write_gate(make_run(folder / "results") / "shared", "the vGPU is not licensed")
        yield site


def shape(value: Any, name: str = "") -> Any:
    """Return what a document is made of: keys, and the kinds of lists; None where it is null."""
    if isinstance(value, dict):
        return {} if name in OPEN else {key: shape(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return None if value is None else "number or text"


def fits(documented: Any, real: Any) -> bool:
    """Say whether two shapes agree; nothing and an empty list agree with everything."""
    if documented in (None, []) or real in (None, []):
        return True
    if isinstance(documented, dict) and isinstance(real, dict):
        return documented.keys() == real.keys() and all(
            fits(one, real[key]) for key, one in documented.items()
        )
    if isinstance(documented, list) and isinstance(real, list):
        return fits(documented[0], real[0])
    return bool(documented == real)


@pytest.mark.parametrize(
    ("kind", "words", "code"),
    [
        ("plan", ["plan", "greedy.yaml"], 3),
        ("result", ["provision", "lab.yaml", "--yes"], 0),
        ("status", ["status", "lab.yaml"], 0),
        ("gpus", ["gpus", "lab.yaml"], 0),
        ("fits", ["gpus", "lab.yaml", "--fits", PROFILE], 0),
        ("doctor", ["doctor", "lab.yaml"], 0),
        ("report", ["report"], 0),
        ("result", ["destroy", "lab.yaml", "--yes"], 0),
    ],
)
def test_a_document_has_the_keys_that_the_page_shows(
    site: Site, kind: str, words: list[str], code: int
) -> None:
    (example,) = blocks(PAGE, f"json {kind}")
    done = site.vdl(*words, "-o", "json")
    assert done.code == code, done.err
    documented, real = shape(json.loads(example)), shape(done.json)
    assert fits(documented, real), (documented, real)


def test_every_exit_code_is_there() -> None:
    assert [int(code) for code in tables(PAGE)["Exit codes"]] == sorted(ExitCode)


def test_every_outcome_and_every_state_is_there() -> None:
    found = tables(PAGE)
    assert list(found["`vdl provision -o json`, `vdl destroy -o json`"]) == list(Outcome)
    assert list(found["`vdl status -o json`"]) == list(State)


def test_every_code_of_a_finding_is_there() -> None:
    documented = tables(PAGE)["`vdl plan -o json`"].keys()
    sources = [*PROVISION.glob("plan/*.py"), PROVISION / "vsphere" / "checks.py"]
    texts = [path.read_text(encoding="utf-8") for path in sources]
    assert [code for code in documented if not any(f'"{code}"' in text for text in texts)] == []
    hyphened = {word for text in texts for word in re.findall(r'"([a-z]+(?:-[a-z]+)+)"', text)}
    assert hyphened <= documented


def test_the_simulators_line_has_its_fields(site: Site) -> None:
    (example,) = blocks("simulator.md", "json simulator")
    assert json.loads(example).keys() == site.door.keys()
