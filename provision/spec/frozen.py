"""The base of everything that a lab file is read into."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Base of all spec types: no unknown keys, no changes after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid")
