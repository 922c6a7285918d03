"""docs/measuring.md explains every code that a result is judged with, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from payload import errors, judgement, validity
from tests.docs.reading import tables

CODE = re.compile(r"f?\"([a-z-]+): ")


def test_every_code_is_explained() -> None:
    rows = tables("measuring.md")["Valid, invalid, warnings"]
    named = {code.strip("` ") for row in rows for code in row.split(",")} - {"code"}
    sources = (Path(module.__file__).read_text() for module in (judgement, validity))
    judged = {code for source in sources for code in CODE.findall(source)}
    failed = {each.code for each in vars(errors).values() if hasattr(each, "code")}
    assert judged
    assert judged <= named
    assert named - judged <= failed
