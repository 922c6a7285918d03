"""Machines from elsewhere that take part beside the lab's: bare metal to compare it with.

They stand in Ansible inventories of the user's own, of any kind that Ansible reads. Ansible gets
those files as they are; vdl only needs to know which machines they name. vdl neither makes nor
deletes these machines, and leaves it to the user's own ssh settings and known_hosts to reach them.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provision.errors import UsageError
from provision.guests.environment import ansible_program, environment
from provision.spec.document import short

# What vdl assumes of a machine that says nothing else of itself.
ASSUMED = {"vdl_group": "baremetal", "vdl_gpu_mode": "bare-metal"}
TAIL_LINES = 15
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
READ_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class BareMetal:
    """The files, and the variables of each machine in them by name."""

    sources: tuple[Path, ...] = ()
    machines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


NO_BARE_METAL = BareMetal()


def read_bare_metal(sources: Sequence[Path], lab_machines: Iterable[str]) -> BareMetal:
    """Let Ansible read inventory files, and return which machines they name.

    Raises:
        UsageError: There is no such file, Ansible can't read it, it names no machine, or one that
            the lab has too.
    """
    if not sources:
        return NO_BARE_METAL
    for path in sources:
        # Ansible takes what is no path for a list of hosts.
        if not path.exists():
            raise _unreadable(path, "there is no such file or folder")
    listed = _list(sources)
    named = sorted({name for group in listed.values() for name in group.get("hosts", ())})
    known = listed.get("_meta", {}).get("hostvars", {})
    if not named:
        raise _unreadable(*sources, "no machine is named there")
    # A name becomes a path of results. And Ansible takes YAML with a mistake in it for INI.
    if odd := [name for name in named if not _NAME.fullmatch(name)]:
        raise _unreadable(*sources, f"{short(odd[0])} is no name of a machine")
    if both := sorted(set(named) & set(lab_machines)):
        raise _unreadable(*sources, f"the lab has machines of these names: {', '.join(both)}")
    for name, variables in known.items():
        if not isinstance(variables.get("vdl_gpu_count", 0), int):
            raise _unreadable(*sources, f"vdl_gpu_count of {name} is no number")
    return BareMetal(
        tuple(path.absolute() for path in sources),
        {name: {**ASSUMED, **known.get(name, {})} for name in named},
    )


def _list(sources: Sequence[Path]) -> dict[str, Any]:
    words = [ansible_program("ansible-inventory"), "--list"]
    for path in sources:
        words += ["--inventory", str(path.absolute())]
    with tempfile.TemporaryDirectory(prefix="vdl-") as folder:
        try:
            done = subprocess.run(
                words, env=environment(Path(folder)), stdin=subprocess.DEVNULL, check=False,
                capture_output=True, encoding="utf-8", errors="replace", timeout=READ_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise _unreadable(*sources, f"Ansible needs more than {READ_SECONDS:.0f} s") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise _unreadable(*sources, "\n".join(lines[-TAIL_LINES:]))
    listed: dict[str, Any] = json.loads(done.stdout)
    return listed


def _unreadable(*words: Path | str) -> UsageError:
    *paths, why = words
    return UsageError(
        "this inventory can't be used",
        subject=", ".join(map(str, paths)),
        why=str(why),
        fix="write it like inventory/baremetal.example.yml",
    )
