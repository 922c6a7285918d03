"""All cases and the answers that are expected of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import yaml

from tests.contract import (
    cases_clones,
    cases_collector,
    cases_devices,
    cases_inventory,
    cases_power,
    cases_sessions,
)
from tests.contract.site import Site

ANSWERS = Path(__file__).parents[1] / "data" / "contract"
MODULES = (
    cases_sessions,
    cases_collector,
    cases_inventory,
    cases_clones,
    cases_devices,
    cases_power,
)


def _cases(module: ModuleType) -> dict[str, Callable[[Site], Any]]:
    return {
        name: found
        for name, found in vars(module).items()
        if isinstance(found, FunctionType)
        and found.__module__ == module.__name__
        and not name.startswith("_")
    }


def _answers(module: ModuleType) -> dict[str, Any]:
    theme = module.__name__.rpartition("cases_")[2]
    answers: dict[str, Any] = yaml.safe_load((ANSWERS / f"{theme}.yaml").read_text("utf-8"))
    return answers


CASES = {name: case for module in MODULES for name, case in _cases(module).items()}
EXPECTED = {name: entry for module in MODULES for name, entry in _answers(module).items()}


def expected(name: str, service: str) -> Any:
    """Return what a service is expected to answer to a case."""
    entry = EXPECTED[name]
    return entry["both"] if "both" in entry else entry[service]
