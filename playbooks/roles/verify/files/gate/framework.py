"""What TensorFlow sees, asked in a process of its own, because it may hang as the driver may."""

from __future__ import annotations

import json
import pkgutil
from dataclasses import dataclass, field

from gate.smilog import run

MOST_LINES, LONGEST_LINE = 6, 300
DEADLINE = 180.0
"""Seconds: the first start of a GPU compiles kernels for cards that the wheel does not know."""


@dataclass(frozen=True)
class Framework:
    """What TensorFlow said.

    Attributes:
        python: The Python that was asked; empty where none was.
        names: The GPUs that it lists.
        addresses: The PCI address of each; None where it could not start that GPU.
        packages: Versions of what the payload uses.
        problem: Why it could not answer.
        said: The end of what it said meanwhile.
    """

    python: str = ""
    names: tuple[str, ...] = ()
    addresses: tuple[str | None, ...] = ()
    packages: dict[str, str] = field(default_factory=dict)
    problem: str | None = None
    said: tuple[str, ...] = ()


def ask(python: str, *, start: bool) -> Framework:
    """Ask a Python for its TensorFlow; with `start`, for the GPUs that it can compute on, too."""
    source = (pkgutil.get_data("gate", "probe.py") or b"").decode()
    words = [python, "-c", source, "devices" if start else "installed"]
    try:
        code, out, err = run(words, DEADLINE)
    except OSError as error:
        return Framework(python, problem=f"{python} can't be started: {error.strerror}")
    if code is None:
        return Framework(python, problem=f"it has not answered within {DEADLINE:.0f} s")
    lines = [line.strip() for line in err.decode("utf-8", "replace").split("\n") if line.strip()]
    said = tuple(line[-LONGEST_LINE:] for line in lines[-MOST_LINES:])
    try:
        answer = json.loads(out.decode("utf-8", "replace").strip().rpartition("\n")[2])
    except ValueError:
        last = lines[-1] if lines else "it says nothing"
        return Framework(python, problem=f"it ended with code {code}: {last}", said=said)
    if answer["missing"]:
        problem = f"{python} has no {' and no '.join(answer['missing'])}"
        return Framework(python, packages=answer["packages"], problem=problem)
    return Framework(
        python,
        tuple(gpu["name"] for gpu in answer["gpus"]),
        tuple(gpu["address"] for gpu in answer["gpus"]),
        answer["packages"],
        said=said,
    )
