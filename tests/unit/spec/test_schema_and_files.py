import re
from pathlib import Path
from typing import Any, Protocol

import jsonschema
import pytest
import yaml

import provision
from provision.spec.model import Lab
from provision.spec.reader import load_lab
from provision.spec.schema import DIALECT, json_schema
from provision.spec.starter import STARTER

EXAMPLES = Path(provision.__file__).parents[1] / "examples"


class Files(Protocol):
    folder: Path
    key: Path

    def write(self, text: str | bytes, name: str = ...) -> Path: ...


def load(files: Files, text: str) -> Lab:
    return load_lab(files.write(re.sub(r"ssh_key: [^\s}]+", "ssh_key: key.pub", text)))


def objects(schema: Any) -> list[dict[str, Any]]:
    found = [schema] if isinstance(schema, dict) and "properties" in schema else []
    children = schema.values() if isinstance(schema, dict) else schema
    return found + [
        inner for child in children if isinstance(child, dict | list) for inner in objects(child)
    ]


def test_the_schema_is_one_and_describes_every_key() -> None:
    schema = json_schema()
    assert schema["$schema"] == DIALECT
    jsonschema.Draft202012Validator.check_schema(schema)
    for entry in objects(schema):
        assert entry["additionalProperties"] is False
        for name, field in entry["properties"].items():
            # A description that the referred type has too is left out.
            target = schema["$defs"].get(field.get("$ref", "").rpartition("/")[2], {})
            assert field.get("description") or target.get("description"), name


@pytest.mark.parametrize("name", ["lab.yaml", "demo.lab.yaml"])
def test_examples_are_correct_and_fit_the_schema(files: Files, name: str) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert load(files, text).resolve()
    jsonschema.Draft202012Validator(json_schema()).validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "wrong",
    [
        {"lab": "Vroom"},
        {"machines": {}},
        {"machines": {"cpu": {"gpu": {"vpgu": "x"}}}},
        {"machines": {"cpu": {"memory": 32}}},
        {"guest": {"user": "root", "ssh_key": "k"}},
        {"more": 1},
    ],
)
def test_an_editor_sees_the_common_mistakes(wrong: dict[str, object]) -> None:
    lab = yaml.safe_load((EXAMPLES / "lab.yaml").read_text(encoding="utf-8"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(json_schema()).validate(lab | wrong)


def test_the_demo_is_one_machine_of_each_kind_and_two_on_one_card(files: Files) -> None:
    machines = load(files, (EXAMPLES / "demo.lab.yaml").read_text(encoding="utf-8")).resolve()
    names = ["demo-cpu-1", "demo-shared-1", "demo-shared-2", "demo-direct-1"]
    assert [machine.name for machine in machines] == names


def test_the_starter_is_correct_as_it_is(files: Files) -> None:
    assert [machine.name for machine in load(files, STARTER).resolve()] == [
        "vroom-cpu-1",
        "vroom-shared-1",
        "vroom-shared-2",
        "vroom-shared-3",
        "vroom-direct-1",
    ]


def test_the_starter_is_correct_with_its_examples_taken_in(files: Files) -> None:
    text = re.sub(
        r"(?m)^(\s*)# "
        r"((pinned|tagged|pair|big|close|apart|here|vgpu|  package|  token):|- \{model)",
        r"\1\2",
        STARTER,
    )
    lab = load(files, text)
    groups = "cpu shared direct pinned tagged pair big close apart here"
    assert set(lab.machines) == set(groups.split())
    assert lab.drivers.vgpu is not None
    assert lab.benchmark[-1].distributed
    assert not re.search(r"(?im)^\s*(password|secret|token):\s*$", STARTER)
