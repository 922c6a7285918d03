"""Variables for the roles from files that a person writes, in YAML or JSON.

They never become words of a command, and Ansible gets every text in them as data, not as a
template. What would lead Ansible away from the machine whose host key was proven is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from provision.errors import SpecError, UsageError
from provision.spec import document
from provision.spec.document import Document, Unreadable, short
from provision.spec.problems import Problem

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
# They say where a machine is and how ssh is called; as extra variables they would hold for all.
_WHERE = re.compile(
    r"vdl_.*|ansible_(ssh_)?(host|port|connection|executable|args|host_key_checking)"
    r"|ansible_(ssh_(common|extra)|sftp_extra|scp_extra)_args|ansible_inventory_sources"
)
# Settings of a run that have options of their own, or that vdl works out.
OURS = frozenset({"results_dir", "benchmark_runs", "payload_source"})


def read_extra_vars(paths: Iterable[Path]) -> dict[str, Any]:
    """Return the variables of all files; where two name the same, the later one counts.

    Raises:
        SpecError: A file is no mapping of variables to plain values, or names a forbidden one.
        UsageError: A file can't be read.
    """
    variables: dict[str, Any] = {}
    for path in paths:
        variables |= _read(path)
    return variables


def _read(path: Path) -> dict[str, Any]:
    try:
        found = document.read(_content(path))
    except Unreadable as error:
        raise _wrong(path, [error.problem]) from None
    if not isinstance(found.value, dict):
        raise _wrong(path, [Problem(1, 1, "", "variables are a mapping of names to values")])
    if problems := [*found.problems, *_problems(found)]:
        raise _wrong(path, problems)
    return found.value


def _content(path: Path) -> bytes:
    # A pipe is fine here: `--extra-vars <(pass show lab)` keeps secrets off the disk.
    try:
        with path.open("rb") as stream:
            return stream.read(document.LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(
            "the variables can't be read", subject=str(path), why=error.strerror,
            fix="name a YAML or JSON file that holds a mapping of variables",
        ) from error  # fmt: skip


def _problems(found: Document) -> Iterable[Problem]:
    for name in found.value:
        where = found.where((name,), key=True)
        if not _NAME.fullmatch(name):
            yield Problem(where.line, where.column, "", f"{short(name)} is no name of a variable")
        elif _WHERE.fullmatch(name) or name in OURS:
            yield Problem(where.line, where.column, "", f"{name} is set by vdl for each machine")


def _wrong(path: Path, problems: Iterable[Problem]) -> SpecError:
    return SpecError("\n".join(problem.text(str(path)) for problem in sorted(problems)))
