"""Commands that look: they change nothing, whatever they are asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from provision.cli.main import COMMANDS
from tests.e2e.site import PROFILE, Done, Site

ACTION = {
    "type": "object",
    "required": ["action", "machine", "reason", "host", "cards", "settings"],
    "properties": {
        "action": {"enum": ["create", "update", "replace", "destroy", "none"]},
        "machine": {"type": "string"},
        "reason": {"type": "string"},
        "host": {"type": ["string", "null"]},
        "cards": {
            "items": {
                "required": ["host", "address", "profile"],
                "properties": {"profile": {"type": ["string", "null"]}},
            }
        },
        "settings": {"additionalProperties": {"type": "string"}},
    },
}
FINDING = {
    "required": ["severity", "code", "object", "message", "fix"],
    "additionalProperties": {"type": "string"},
    "properties": {"severity": {"enum": ["error", "warning"]}},
}
PLAN = {
    "required": ["version", "lab", "fingerprint", "actions", "findings", "summary"],
    "properties": {
        "version": {"const": 1},
        "fingerprint": {"pattern": "^[0-9a-f]{64}$"},
        "actions": {"items": ACTION},
        "findings": {"items": FINDING},
        "summary": {
            "required": ["create", "update", "replace", "destroy", "none"],
            "additionalProperties": {"type": "integer"},
        },
    },
}


@pytest.fixture
def alone(tmp_path: Path) -> Site:
    return Site(tmp_path)


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def checks(done: Done) -> dict[str, bool]:
    return {check["name"]: check["ok"] for check in done.json["checks"]}


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_every_command_explains_itself(alone: Site, command: list[str]) -> None:
    done = alone.vdl(*command, "--help").good()
    assert done.out.startswith(" ".join(["Usage: vdl", *command]))
    assert done.err == ""


def test_the_version_is_the_packages(alone: Site) -> None:
    assert re.fullmatch(r"vdl, version \d+\.\d+\.\d+\S*\n", alone.vdl("--version").good().out)


def test_init_writes_a_file_that_the_schema_accepts(alone: Site) -> None:
    alone.vdl("init").good()
    lab = yaml.safe_load((alone.folder / "lab.yaml").read_text(encoding="utf-8"))
    schema = alone.vdl("schema").good().json
    jsonschema.validate(lab, schema, jsonschema.Draft202012Validator)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**lab, "machine": {}}, schema, jsonschema.Draft202012Validator)


def test_doctor_finds_nothing_wrong(site: Site) -> None:
    lab = site.lab("doctor")
    text = site.vdl("doctor", lab).good().out
    assert "ok  vCenter: API 8.0.3.0, DC0/gpu: 2 hosts, 3 NVIDIA cards" in text
    found = site.vdl("doctor", lab, "-o", "json").good()
    assert found.json["version"] == 1
    assert all(checks(found).values())


def test_doctor_names_what_is_wrong_and_how_to_mend_it(site: Site) -> None:
    lab = site.lab("doctor")
    done = site.vdl("doctor", lab, "-o", "json", env={"VDL_CA_FILE": None})
    assert done.code == 1
    assert [name for name, ok in checks(done).items() if not ok] == ["vCenter"]
    assert "--thumbprint" in done.json["checks"][-1]["fix"]
    assert "1 of 7 checks failed: vCenter" in done.err


def test_doctor_goes_no_further_than_a_wrong_lab_file(site: Site) -> None:
    done = site.vdl("doctor", "nowhere.yaml", "-o", "json")
    assert done.code == 1
    assert [name for name, ok in checks(done).items() if not ok] == ["lab file"]


def test_gpus_shows_modes_users_and_what_is_free(site: Site) -> None:
    lab = site.lab("gpus")
    cards: list[dict[str, Any]] = site.vdl("gpus", lab, "-o", "json").good().json["cards"]
    where = [(card["host"], card["mode"], card["used_by"]) for card in cards]
    assert where == [
        ("esx-01", "shared", [f"stranger ({PROFILE})"]),
        ("esx-01", "shared", []),
        ("esx-02", "passthrough", []),
    ]
    assert [PROFILE, 7] in cards[0]["profiles"]
    text = words(site.vdl("gpus", lab).good().out)
    assert f"esx-01 0000:3b:00.0 A100-80 shared sameSize consolidation stranger ({PROFILE})" in text


def test_gpus_counts_how_many_more_fit(site: Site) -> None:
    lab = site.lab("gpus")
    more = site.vdl("gpus", lab, "--fits", PROFILE, "-o", "json").good().json
    assert more == {
        "version": 1, "wanted": PROFILE, "total": 15, "hosts": {"esx-01": 15, "esx-02": 0},
    }  # fmt: skip
    assert words(site.vdl("gpus", lab, "--fits", "A100").good().out).endswith("total 1 ")


def test_plan_keeps_to_its_contract(site: Site) -> None:
    lab = site.lab(
        "look", shared={"gpu": {"vgpu": PROFILE}}, direct={"gpu": {"passthrough": "A100"}}
    )
    plan = site.vdl("plan", lab, "-o", "json").good().json
    jsonschema.validate(plan, PLAN, jsonschema.Draft202012Validator)
    assert plan["summary"] == {"create": 2, "update": 0, "replace": 0, "destroy": 0, "none": 0}
    shared = next(action for action in plan["actions"] if action["machine"] == "look-shared-1")
    card = {"host": "esx-01", "address": "0000:3b:00.0", "profile": PROFILE}
    assert [card.items() <= found.items() for found in shared["cards"]] == [True]
    assert shared["settings"]["pciPassthru.64bitMMIOSizeGB"] == "256"
    again = site.vdl("plan", lab, "-o", "json").good().json
    assert again == plan


def test_plan_says_what_comes_next_and_check_says_that_something_does(site: Site) -> None:
    lab = site.lab("look")
    text = site.vdl("plan", lab).good().out
    assert "+ look-shared-1" in text
    assert "Plan: 1 to create" in text
    assert site.vdl("plan", lab, "--check").code == 10


def test_a_blocked_plan_shows_its_findings_as_data(site: Site) -> None:
    lab = site.lab("look", whole={"count": 3, "gpu": {"vgpu": "grid_a100d-80c"}})
    done = site.vdl("plan", lab, "-o", "json")
    assert done.code == 3
    jsonschema.validate(done.json, PLAN, jsonschema.Draft202012Validator)
    assert {"gpu-capacity", "gpu-profile-locked"} & {f["code"] for f in done.json["findings"]}


def test_status_of_a_lab_that_is_not_there_yet(site: Site) -> None:
    done = site.vdl("status", site.lab("look"), "-o", "json").good()
    assert done.json["version"] == 1
    (machine,) = done.json["machines"]
    assert (machine["machine"], machine["state"]) == ("look-shared-1", "absent")


def test_the_options_win_over_the_environment(site: Site) -> None:
    wrong = {"VDL_SERVER": "127.0.0.1:1", "VDL_USERNAME": "nobody", "VDL_CA_FILE": None}
    done = site.vdl(
        "status", site.lab("look"), "--server", site.door["server"],
        "--username", site.door["username"], "--thumbprint", site.door["thumbprint"],
        "--password-file", site.door["password_file"], env=wrong,
    )  # fmt: skip
    done.good()
