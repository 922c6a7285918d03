"""Sizes with units: `32 GiB` in a file, bytes in the program."""

from __future__ import annotations

import re
from typing import Any, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

UNITS = {"MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "MB": 10**6, "GB": 10**9, "TB": 10**12}
PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,3})? ?(MiB|GiB|TiB|MB|GB|TB)$"


class Size(int):
    """A number of bytes, written with its unit."""

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read `32 GiB`, `512MB`, `1.5 TiB`, rounded down to whole MiB, vSphere's unit.

        Raises:
            ValueError: It has no unit, or is no size.
        """
        if isinstance(text, cls):
            return text
        # A newline at the end would pass `$`, hence fullmatch.
        match = re.fullmatch(PATTERN.strip("^$"), text) if isinstance(text, str) else None
        if match is None or not isinstance(text, str):
            raise ValueError("must be a number and a unit, such as 32 GiB or 512 MiB")
        unit = match[2]
        number = float(text.removesuffix(unit))
        return cls(int(number * UNITS[unit]) // 2**20 * 2**20)

    @classmethod
    def gib(cls, number: float) -> Self:
        """Return `number` gibibytes."""
        return cls(number * 2**30)

    def __str__(self) -> str:
        for unit in ("TiB", "GiB", "MiB"):
            if self >= UNITS[unit] and self % UNITS[unit] == 0:
                return f"{self // UNITS[unit]} {unit}"
        return f"{self / UNITS['MiB']:.0f} MiB"

    @property
    def mib(self) -> int:
        """Whole mebibytes, rounded down: the unit vSphere wants memory in."""
        return self // 2**20

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": PATTERN, "examples": ["32 GiB"]}
