"""docs/drivers.md says of every variable of the roles what their argument specs say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.reading import tables

PAGE = "drivers.md"
ROLES = Path(__file__).parents[2] / "playbooks" / "roles"
DOCUMENTED = ("base", "nvidia_driver", "vgpu_licence", "nvlink", "payload")
# Set by other roles or by the user alone, so that there is nothing to default to.
NO_DEFAULT = {"nvidia_driver_apt_source", "nvidia_driver_dnf_url"}


def options(role: str) -> dict[str, dict[str, Any]]:
    text = (ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    known: dict[str, dict[str, Any]] = yaml.safe_load(text)["argument_specs"]["main"]["options"]
    return known


@pytest.mark.parametrize("role", DOCUMENTED)
def test_every_variable_is_on_the_page_with_its_default_and_meaning(role: str) -> None:
    page = tables(PAGE)[f"`{role}`"]
    known = options(role)
    assert list(page) == list(known)
    for name, option in known.items():
        default, meaning = page[name]
        assert meaning == " ".join(option["description"].split())
        if "default" in option:
            wanted = option["default"]
            assert (None if default == "*none*" else yaml.safe_load(default.strip("`"))) == (
                wanted or None
            )
        else:
            assert default == "*derived*"


@pytest.mark.parametrize("role", DOCUMENTED)
def test_defaults_and_argument_specs_name_the_same_variables(role: str) -> None:
    defaults = yaml.safe_load((ROLES / role / "defaults" / "main.yml").read_text(encoding="utf-8"))
    known = options(role)
    assert known.keys() - NO_DEFAULT == defaults.keys()
    for name, option in known.items():
        if "default" in option:
            assert defaults[name] == option["default"]


def test_every_role_of_the_site_is_in_the_table() -> None:
    site = yaml.safe_load((ROLES.parent / "site.yml").read_text(encoding="utf-8"))
    roles = [(entry["role"], entry["tags"][0]) for entry in site[0]["roles"]]
    page = tables(PAGE)["Drivers in the guests"]
    assert [(role, cells[0].strip("`")) for role, cells in page.items()] == roles
