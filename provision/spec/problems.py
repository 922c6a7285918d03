"""What is wrong with a file that a person wrote, each with its line and column."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from provision.errors import SpecError

MOST_SHOWN = 100


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake.

    Attributes:
        line: Counted from 1.
        column: Counted from 1.
        path: Where it is in the document, such as `machines.shared.gpu`; "" at the top.
        message: What is wrong.
        allowed: What could stand there, where that is a list.
        nearest: The allowed one that was probably meant.
    """

    line: int
    column: int
    path: str
    message: str
    allowed: tuple[str, ...] = ()
    nearest: str | None = None

    def text(self, file: str) -> str:
        """Return `file:line:column: path: message, did you mean …? allowed: …`."""
        where = f"{file}:{self.line}:{self.column}: "
        path = f"{self.path}: " if self.path else ""
        hint = f", did you mean '{self.nearest}'?" if self.nearest else ""
        choice = ("" if hint else ";") + f" allowed: {', '.join(self.allowed)}"
        return f"{where}{path}{self.message}{hint}{choice if self.allowed else ''}"


class LabFileError(SpecError):
    """The lab file is wrong; `problems` lists everything, in the order of the file."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = tuple(sorted(set(problems), key=lambda p: (p.line, p.column, p.message)))
        lines = [problem.text(file) for problem in self.problems[:MOST_SHOWN]]
        if more := len(self.problems) - MOST_SHOWN:
            lines += [f"{file}: {more} more"] if more > 0 else []
        super().__init__("\n".join(lines))
