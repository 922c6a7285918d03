"""Which machines stood when vdl looked last: a reason to ask, never a reason to act.

vCenter is the state. But a vCenter that was rolled back, or shows nothing to a user who lost
rights, can't tell that something is missing; `.vdl/LAB/stood.json` beside the lab file can.
Without the file, nothing is asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from provision.cli.output import say
from provision.errors import UsageError
from provision.guests.configure import state_folder
from provision.guests.files import write_private
from provision.spec.model import Lab

FILE = "stood.json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Memory:
    """The machines of one lab that stood in one vCenter, told by its instance UUID."""

    path: Path
    vcenter: str

    @classmethod
    def of(cls, lab_file: Path, lab: Lab, vcenter: str) -> Memory:
        """Return the memory of a lab, which lies beside its file."""
        return cls(state_folder(lab_file, lab) / FILE, vcenter)

    def stood(self) -> frozenset[str]:
        """Return the names of the machines.

        Raises:
            UsageError: The file is not one that vdl has written.
        """
        return frozenset(self._read().get(self.vcenter, ()))

    def change(self, *, standing: Iterable[str] = (), leaving: Iterable[str] = ()) -> None:
        """Take machines in and out; where that can't be written, say so and go on.

        Raises:
            UsageError: The file is not one that vdl has written.
        """
        known = self._read()
        before = frozenset(known.get(self.vcenter, ()))
        now = (before - frozenset(leaving)) | frozenset(standing)
        if now == before:
            return
        known[self.vcenter] = sorted(now)
        document = {"version": VERSION, "vcenters": known}
        try:
            write_private(self.path, json.dumps(document, indent=2, sort_keys=True) + "\n")
        except OSError as error:
            say(f"{self.path} can't be written, so a later loss may go unnoticed: {error.strerror}")

    def _read(self) -> dict[str, list[str]]:
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            return {str(uuid): [*map(str, names)] for uuid, names in document["vcenters"].items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(
                "the list of machines that stood before can't be read",
                subject=str(self.path), why=str(error),
                fix="delete the file; then nothing is known of machines that may be gone",
            ) from None  # fmt: skip
