"""The JSON Schema of lab files, for editors."""

from __future__ import annotations

from typing import Any

from provision.spec.model import Lab

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12); `load_lab` checks more than a schema can say."""
    return {"$schema": DIALECT, **Lab.model_json_schema(), "title": "vdl lab file"}
