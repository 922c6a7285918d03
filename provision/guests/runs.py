"""What runs of playbooks leave behind in the lab's folder: a log each, and who failed last.

```
.vdl/LAB/logs/configure/20260301T120000Z.log    Ansible's own output, the newest 20 of each kind
.vdl/LAB/failed-configure.json                  machines that failed last, for --failed
```
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from provision.errors import UsageError, VdlError
from provision.guests.events import PlaybookResult
from provision.guests.files import PRIVATE_FOLDER, write_private

KEPT_LOGS = 20
MOST_IN_A_SECOND = 100
VERSION = 1


class RunKind(StrEnum):
    """The playbooks that vdl runs, by the command that runs them."""

    CONFIGURE = "configure"
    BENCH = "bench"


@dataclass(frozen=True, slots=True)
class Failure:
    """How a machine failed. `tags` are those that its run was limited to; empty for none."""

    task: str | None
    message: str | None
    tags: tuple[str, ...] = ()

    def repaired_by(self, tags: tuple[str, ...]) -> bool:
        """Whether a success with these tags covers everything that failed."""
        return not tags or bool(self.tags and set(self.tags) <= set(tags))


def new_log(state: Path, kind: RunKind, now: datetime) -> Path:
    """Make the log of a new run and return its path; the oldest beyond 20 are removed.

    Raises:
        VdlError: The folder can't be written.
    """
    folder = state / "logs" / kind
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        path = _make(folder, stamp)
        for old in sorted(folder.glob("*.log"))[:-KEPT_LOGS]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise VdlError("the log can't be written", subject=str(folder), why=str(error)) from error
    return path


def _make(folder: Path, stamp: str) -> Path:
    for number in range(1, MOST_IN_A_SECOND):
        path = folder / (f"{stamp}.log" if number == 1 else f"{stamp}-{number:02}.log")
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            continue
        return path
    raise OSError(f"{MOST_IN_A_SECOND - 1} runs began in this second")


def _joined(before: tuple[str, ...], now: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tags that a repair of both failures needs; none means everything."""
    return tuple(sorted({*before, *now})) if before and now else ()


@dataclass(frozen=True, slots=True)
class Failures:
    """The machines that failed when they were last worked on, kept in a file."""

    path: Path

    @classmethod
    def of(cls, state: Path, kind: RunKind) -> Failures:
        """Return those of one kind of run."""
        return cls(state / f"failed-{kind}.json")

    def read(self) -> dict[str, Failure]:
        """Return how each machine failed, by name; empty where nothing is known.

        Raises:
            UsageError: The file is not one that vdl has written.
        """
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            return {
                str(name): Failure(one["task"], one["message"], tuple(one["tags"]))
                for name, one in document["machines"].items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                "the list of machines that failed can't be read",
                subject=str(self.path), why=str(error),
                fix="delete the file; then nothing is known of earlier failures",
            ) from None  # fmt: skip

    def take_in(self, result: PlaybookResult, tags: tuple[str, ...]) -> None:
        """Add the machines that failed now, and take out those that no longer fail.

        Raises:
            UsageError: The file is not one that vdl has written.
            VdlError: It can't be written.
        """
        before = self.read()
        now: dict[str, Failure] = {
            name: failure
            for name, failure in before.items()
            if not (name in result.hosts and failure.repaired_by(tags))
        }
        for host in result.failed:
            old = now.get(host.name)
            failed_tags = _joined(old.tags, tags) if old else tags
            now[host.name] = Failure(host.failed_task, host.message, failed_tags)
        if now != before:
            self._write(now)

    def _write(self, machines: Mapping[str, Failure]) -> None:
        listed = {name: asdict(failure) for name, failure in sorted(machines.items())}
        text = json.dumps({"version": VERSION, "machines": listed}, indent=2)
        try:
            write_private(self.path, f"{text}\n")
        except OSError as error:
            raise VdlError(
                "the list of machines that failed can't be written",
                subject=str(self.path), why=str(error),
            ) from error  # fmt: skip
