"""GPUs as `nvidia-smi` tells of them."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

DEADLINE = 30.0
"""Seconds for one call: without the persistence daemon the driver loads anew for each."""

_ALWAYS = ("uuid", "name", "driver_version", "memory.total")
_WHERE_KNOWN = (
    "clocks.sm",
    "clocks.mem",
    "clocks.max.sm",
    "ecc.mode.current",
    "mig.mode.current",
    "power.limit",
    "persistence_mode",
)
_KEYS = {
    "driver_version": "driver",
    "memory.total": "memory_mib",
    "clocks.sm": "clock_sm_mhz",
    "clocks.mem": "clock_memory_mhz",
    "clocks.max.sm": "clock_sm_max_mhz",
    "ecc.mode.current": "ecc",
    "mig.mode.current": "mig",
    "power.limit": "power_limit_w",
    "persistence_mode": "persistence",
}
_NUMBERS = {"memory.total", "clocks.sm", "clocks.mem", "clocks.max.sm", "power.limit"}

_BLOCK = re.compile(r"^GPU [0-9A-Fa-f]{8}:[0-9A-Fa-f:.]+$", re.MULTILINE)
_FIELD = "^ *{} *: *(.+?) *$"

Run = Callable[[list[str]], str | None]


def describe(run: Run | None = None) -> list[dict[str, Any]]:
    """Return one mapping per GPU; none where `nvidia-smi` is absent or fails.

    A value that the GPU or the driver does not have is `None`: a vGPU knows neither its power
    nor its clocks, and older drivers do not know every field.

    Args:
        run: Runs `nvidia-smi` with arguments and returns its standard output, `None` if it fails.
    """
    run = run or nvidia_smi
    fields: tuple[str, ...] = (*_ALWAYS, *_WHERE_KNOWN)
    output = run(_query(fields))
    if output is None:
        # A field that the driver does not know fails the whole query.
        fields = _ALWAYS
        output = run(_query(fields))
    if output is None:
        return []
    found = parse_query(output, fields)
    details = parse_details(run(["-q"]) or "")
    unknown = {"virtualization": None, "licence": None}
    return [gpu | details.get(str(gpu["uuid"]), unknown) for gpu in found]


def nvidia_smi(arguments: list[str]) -> str | None:
    """Return what `nvidia-smi` prints, or `None` if it is absent, fails or hangs."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DEADLINE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def parse_query(output: str, fields: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return one mapping per line of `--query-gpu --format=csv,noheader,nounits`.

    Lines with another number of values, such as warnings, are passed over.
    """
    rows = csv.reader(io.StringIO(output), skipinitialspace=True)
    return [
        {
            _KEYS.get(field, field): _value(field, text)
            for field, text in zip(fields, row, strict=True)
        }
        for row in rows
        if len(row) == len(fields)
    ]


def parse_details(output: str) -> dict[str, dict[str, str | None]]:
    """Return virtualization mode and vGPU licence by UUID, from the text of `nvidia-smi -q`."""
    found = {}
    for block in _BLOCK.split(output)[1:]:
        if uuid := _field("GPU UUID", block):
            found[uuid] = {
                "virtualization": _field("Virtualization Mode", block),
                "licence": _field("License Status", block),
            }
    return found


def _query(fields: tuple[str, ...]) -> list[str]:
    return [f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]


def _field(name: str, block: str) -> str | None:
    match = re.search(_FIELD.format(name), block, re.MULTILINE)
    return _known(match[1]) if match else None


def _value(field: str, text: str) -> str | float | None:
    known = _known(text.strip())
    if known is None or field not in _NUMBERS:
        return known
    try:
        return float(known)
    except ValueError:
        return None


def _known(text: str) -> str | None:
    """Return `text`, or `None` for the ways `nvidia-smi` says that it does not know."""
    unknown = text.startswith("[") or text in {"", "N/A", "Not Supported", "Unknown Error"}
    return None if unknown else text
