"""docs/simulator.md says of every key of a world file what the world's model says."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from provision.gpu.catalogue import catalogue
from provision.simulator import worldfile, worldmodel
from provision.simulator.engine import faultplan
from provision.simulator.marked import Document
from tests.docs.reading import DOCS, blocks, tables

PAGE = "simulator.md"
ENTRIES: dict[str, list[type[BaseModel]]] = {
    "`vcenter`": [worldmodel.VCenter],
    "A user": [worldmodel.User],
    "A datacenter": [worldmodel.Datacenter],
    "A datastore": [worldmodel.DatastoreSize],
    "A cluster": [worldmodel.Cluster],
    "A host": [worldmodel.Host],
    "A device group": [worldmodel.DeviceGroup],
    "A card": [worldmodel.CardBlock],
    "A template, a VM": [worldmodel.Template, worldmodel.Vm],
    "`gpu`": [worldmodel.GpuRequest],
    "The file": [worldmodel.World],
}
# What a model needs before one of its other keys can be looked at alone.
NEEDED = {
    worldmodel.User: {"password": "secret"},
    worldmodel.DatastoreSize: {"capacity": "1 TiB"},
    worldmodel.CardBlock: {"model": "L4"},
    worldmodel.DeviceGroup: {"profile": "grid_a100d-80c"},
    worldmodel.World: {"datacenters": {"DC0": {}}},
}


@pytest.mark.parametrize("heading", ENTRIES)
def test_every_key_is_there(heading: str) -> None:
    known = {name for model in ENTRIES[heading] for name in model.model_fields}
    listed = tables(PAGE)[heading].keys() - ({"key"})
    assert listed == known - {"datacenters"}


@pytest.mark.parametrize("heading", ENTRIES)
def test_every_default_is_the_models(heading: str) -> None:
    for model in ENTRIES[heading]:
        needed = NEEDED.get(model, {})
        usual = model.model_validate(needed)
        for key, (default, _) in tables(PAGE)[heading].items():
            if key not in model.model_fields:
                continue
            if default == "*required*":
                assert model.model_fields[key].is_required()
            elif default == "*none*":
                assert getattr(usual, key) in (None, (), {})
            else:
                value = Document(default.strip("`")).data
                said = model.model_validate({**needed, key: value})
                assert getattr(said, key) == getattr(usual, key)


def test_every_key_of_a_fault_is_there() -> None:
    keys = ["on", *faultplan._TRIGGERS, "seed", *faultplan._EFFECTS]  # noqa: SLF001 - the plan's own list
    assert list(tables(PAGE)["Faults"]) == keys


def test_every_card_model_is_named() -> None:
    text = (DOCS / PAGE).read_text(encoding="utf-8")
    assert [model.key for model in catalogue().models if f"`{model.key}`" not in text] == []


def test_the_examples_are_world_files() -> None:
    examples = blocks(PAGE, "yaml world")
    assert len(examples) > 3
    for example in examples:
        worldfile.parse(example, PAGE)


def test_the_python_examples_are_python() -> None:
    for example in blocks(PAGE, "python"):
        compile(example, PAGE, "exec")
