"""`nvidia-smi -q -x`, asked with a deadline and read without trust.

The gate and the payload each carry this file, because each runs without the other; a test keeps
the two alike. Runs on Python 3.9.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from shutil import which
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

DEADLINE = 60.0
"""Seconds for one answer: without the persistence daemon the driver loads anew for each, about
two seconds a GPU; a driver that has lost a GPU never answers."""

LONGEST = 16 * 2**20
"""Bytes. Eight H100 take 0.2 MB."""
DEEPEST = 32
"""Elements inside each other; the schemas have nine."""

EXIT_CODES = {
    # nvidia-smi(1), "RETURN VALUE".
    2: "an argument is not known to this version",
    3: "the operation is not available on this device",
    4: "this user may not do that",
    6: "no device was found",
    8: "a card's external power cables are not attached properly",
    9: "the NVIDIA driver is not loaded",
    10: "the kernel found an interrupt problem with a GPU",
    12: "the NVML library can't be found or loaded",
    13: "the NVML library is of another version",
    14: "the infoROM of a GPU is corrupted",
    15: "a GPU has fallen off the bus or can't be reached",
    18: "the NVML library and the kernel module are of different versions",
    255: "an internal error of the driver",
}

_UNKNOWN = ("", "N/A", "Not Supported", "Not Available", "Unknown Error", "ERR!", "GPU is lost")
_DEPRECATED = "Requested functionality has been deprecated"
LOST = "GPU is lost"
"""What stands in the place of values of a GPU that has fallen off the bus."""


class BadLog(ValueError):
    """What was printed is no document of nvidia-smi; the text says why."""


@dataclass(frozen=True)
class Answer:
    """What came of asking.

    Attributes:
        program: Path of nvidia-smi; None where there is none.
        code: Its exit code; None where it did not end in time, or there is none.
        log: The document, where it printed a whole one.
        problem: Why this is not a good answer; None where it is. A document may be there anyway.
        said: The last lines that it printed, where there is no document.
    """

    program: str | None
    code: int | None = None
    log: Element | None = None
    problem: str | None = None
    said: tuple[str, ...] = ()


def ask(deadline: float = DEADLINE) -> Answer:
    """Run `nvidia-smi -q -x` and read what it prints; never raises."""
    program = which("nvidia-smi")
    if program is None:
        return Answer(None, problem="there is no nvidia-smi in PATH")
    try:
        code, out, err = run([program, "-q", "-x"], deadline)
    except OSError as error:
        return Answer(program, problem=f"{program} can't be started: {error.strerror}")
    if code is None:
        return Answer(program, problem=f"it has not answered within {deadline:.0f} s")
    said = tuple((out[-4000:] + b"\n" + err[-4000:]).decode("utf-8", "replace").split("\n"))
    tail = tuple(line.strip() for line in said if line.strip())[-6:]
    problem = None if code == 0 else f"it ended with code {code}: {_meaning(code)}"
    try:
        return Answer(program, code, parse(out), problem, () if code == 0 else _words(err))
    except BadLog as error:
        return Answer(program, code, None, problem or f"what it printed is no log: {error}", tail)


def run(command: list[str], deadline: float) -> tuple[int | None, bytes, bytes]:
    """Run a command; return its exit code, None if it did not end in time, and what it said.

    A process that hangs inside the driver can't be killed: it is left behind, not waited for.
    """
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    try:
        out, err = child.communicate(timeout=deadline)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=1)
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()
        return None, b"", b""
    return child.returncode, out, err


def parse(text: bytes) -> Element:
    """Read a document.

    expat is told to read neither the DTD that the document names nor parameter entities, and
    any entity of its own ends the reading: so nothing is fetched, and nothing is multiplied.

    Warnings that some versions print before and after the document are passed over.

    Raises:
        BadLog: It is not whole, not well-formed, too large, or something else.
    """
    begin, end_tag = text.find(b"<?xml"), b"</nvidia_smi_log>"
    text = text[max(begin, 0) :]
    if end_tag in text:
        text = text[: text.rindex(end_tag) + len(end_tag)]
    if len(text) > LONGEST:
        raise BadLog(f"it is larger than {LONGEST >> 20} MiB")
    tree, depth = TreeBuilder(), 0
    parser = expat.ParserCreate()
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise BadLog(f"its elements lie more than {DEEPEST} deep")
        tree.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        tree.end(tag)

    def entity(name: str, *_: object) -> NoReturn:
        raise BadLog(f"it defines an entity, {name}")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = tree.data
    parser.EntityDeclHandler = entity
    try:
        parser.Parse(text, True)  # noqa: FBT003 - it has no name for this argument
    except (expat.ExpatError, ValueError) as error:
        raise BadLog(str(error)) from error
    root = tree.close()
    if root.tag != "nvidia_smi_log":
        raise BadLog(f"its root is {root.tag}")
    return root


def known(text: str | None) -> str | None:
    """Return a text, or None for the ways in which nvidia-smi says that it does not know."""
    bare = (text or "").strip().strip("[]")
    return None if bare in _UNKNOWN or bare.startswith(_DEPRECATED) else bare


def number(text: str | None) -> float | None:
    """Return the number before a unit, such as 81920 of `81920 MiB`; None for anything else."""
    words = (known(text) or "").split()
    try:
        value = float(words[0].rstrip("x")) if words else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _meaning(code: int) -> str:
    return EXIT_CODES.get(code, "a signal" if code < 0 else "nvidia-smi(1) does not name it")


def _words(err: bytes) -> tuple[str, ...]:
    lines = err.decode("utf-8", "replace").split("\n")
    return tuple(line.strip() for line in lines if line.strip())[-6:]
