"""What a page of docs/ holds, for the tests that hold it to the code."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
Table = dict[str, list[str]]


def blocks(page: str, kind: str) -> list[str]:
    """Return the fenced blocks of a page whose info string is `kind`."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{re.escape(kind)}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def tables(page: str) -> dict[str, Table]:
    """Return the tables of a page by their headings; a row's first cell is its key.

    Where a heading has several tables they are one.
    """
    found: dict[str, Table] = {}
    heading = ""
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.strip("# ")
        elif line.startswith("| ") and "---" not in line:
            key, *cells = (cell.strip() for cell in line.strip("| ").split(" | "))
            found.setdefault(heading, {})[key.strip("`")] = cells
    return {title: rows_of(table) for title, table in found.items()}


def rows_of(table: Table) -> Table:
    """Return a table without its line of titles."""
    return dict(list(table.items())[1:])
