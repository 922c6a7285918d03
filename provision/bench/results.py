"""The results folder: one folder per run, one document per machine and payload run.

```
results/<lab>/<run>/run.json                      who took part, on what
results/<lab>/<run>/<machine>/gate.json           what the machine proved before it measured
results/<lab>/<run>/<machine>/<payload run>.json  what the payload measured
results/<lab>/<run>/<machine>/after/<payload run>.json  what the machine proved after it
```

Documents appear whole or not at all: writers write beside and rename. Readers refuse what is
not whole, and say which file.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from provision.bench.gates import Gate, gate_of, why_invalid
from provision.errors import UsageError, VdlError

RUN_VERSION = 1
RUN_FILE = "run.json"
GATE_FILE = "gate.json"
AFTER_FOLDER = "after"
# vdl never writes such a document, so a copy went wrong or something else wrote it.
BROKEN = "copy the run again from where it was made, or move this file away and measure again"


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What vCenter says of a machine at the time of a run.

    `gpu_mode` is `none`, `vgpu`, `passthrough`, `group` or `bare-metal`; `gpu` is the vGPU
    profile or the card's model. `simulated` machines hold no GPU, whatever their mode.
    """

    name: str
    group: str
    gpu_mode: str
    gpu: str | None = None
    gpu_count: int = 0
    host: str | None = None
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One call of `vdl bench`. `started` and `finished` are ISO 8601 with an offset."""

    lab: str
    run_id: str
    started: str
    finished: str
    machines: Mapping[str, MachineFacts]


@dataclass(frozen=True, slots=True)
class Interval:
    """A median with the ends of its 95 % bootstrap interval."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True)
class Result:
    """One payload run of one machine.

    `speed` is in images per second, and None where nothing was measured. `document` is the
    payload's own, whole. `gate` and `gate_after` are what the machine proved before and after.
    """

    machine: MachineFacts
    run_id: str
    model: str
    batch_size: int
    precision: str
    data: str
    engine: str
    image_shape: tuple[int, ...]
    speed: Interval | None
    valid: bool
    reasons: tuple[str, ...]
    document: Mapping[str, Any] = field(repr=False)
    gate: Gate | None = None
    gate_after: Gate | None = None


def write_document(path: Path, document: object) -> None:
    """Write JSON so that it appears whole or not at all.

    Raises:
        VdlError: The disk is full or the folder can't be written; what stood there still does.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise VdlError("the result can't be written", subject=str(path), why=str(error)) from error


def write_run(folder: Path, run: Run) -> None:
    """Write `run.json` of a run."""
    write_document(folder / RUN_FILE, {"version": RUN_VERSION, "kind": "vdl-run", **asdict(run)})


def new_run_folder(results: Path, lab: str, now: datetime) -> Path:
    """Make and return the folder of a new run, named by its start in UTC."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    for number in range(1, 1000):
        folder = results / lab / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise VdlError(
                "the results folder can't be made", subject=str(folder), why=str(error)
            ) from error
        return folder
    raise VdlError("a thousand runs started in this second", subject=str(results / lab))


def read_results(folder: Path) -> tuple[Result, ...]:
    """Read all results of a run's folder, in the order of machines and file names.

    Raises:
        UsageError: The folder is no run, or a document in it is not whole.
    """
    run = read_document(folder / RUN_FILE, "vdl-run")
    results: list[Result] = []
    for name, machine in read_machines(folder).items():
        gate = read_gate(folder / name / GATE_FILE)
        documents = sorted(p for p in (folder / name).glob("*.json") if p.name != GATE_FILE)
        results += [_result(machine, run["run_id"], path, gate) for path in documents]
    return tuple(results)


def read_machines(folder: Path) -> dict[str, MachineFacts]:
    """Read who took part in a run.

    Raises:
        UsageError: The folder is no run.
    """
    run = read_document(folder / RUN_FILE, "vdl-run")
    return {name: MachineFacts(**facts) for name, facts in run["machines"].items()}


def newest_run(results: Path, lab: str | None = None) -> Path:
    """Return the folder of the newest run that measured something, of one lab or of any.

    Raises:
        UsageError: There is none.
    """
    folders = (path.parent for path in results.glob(f"{lab or '*'}/*/{RUN_FILE}"))
    runs = sorted((f for f in folders if any(_documents(f))), key=lambda folder: folder.name)
    if not runs:
        raise UsageError(
            "there are no results yet", subject=str(results), fix="run `vdl bench` first"
        )
    return runs[-1]


def _documents(run: Path) -> Iterator[Path]:
    """Return the payload's documents in a run's folder."""
    return (path for path in run.glob("*/*.json") if path.name != GATE_FILE)


def _result(machine: MachineFacts, run_id: str, path: Path, gate: Gate | None) -> Result:
    document = read_document(path, "vdl-result")
    after = gate_after(path.parent, path.stem)
    doubts = why_invalid(gate, after)
    try:
        return Result(
            machine=machine,
            run_id=run_id,
            model=document["model"],
            batch_size=document["batch_size"],
            precision=document["precision"],
            data=document["data"]["source"],
            engine=document["engine"],
            image_shape=tuple(document["image_shape"]),
            speed=_speed(document.get("throughput")),
            valid=bool(document["valid"]) and not doubts,
            reasons=(*document["reasons"], *doubts),
            document=document,
            gate=gate,
            gate_after=after,
        )
    except (KeyError, TypeError) as error:
        raise broken(path, error) from error


def _speed(throughput: Mapping[str, Any] | None) -> Interval | None:
    if not throughput or not throughput.get("median"):
        return None
    return Interval(throughput["low"], throughput["median"], throughput["high"])


def read_gates(folder: Path) -> dict[str, Gate]:
    """Read what the machines of a run proved before it, by their names.

    Raises:
        UsageError: The folder is no run, or a document in it is not whole.
    """
    run = read_document(folder / RUN_FILE, "vdl-run")
    found = {name: read_gate(folder / name / GATE_FILE) for name in run["machines"]}
    return {name: gate for name, gate in found.items() if gate is not None}


def turned_away(folder: Path) -> dict[str, Gate]:
    """Return the gates of the machines that did not pass them and measured nothing.

    Raises:
        UsageError: The folder is no run, or a document in it is not whole.
    """
    measured = {path.parent.name for path in _documents(folder)}
    gates = read_gates(folder)
    return {name: gate for name, gate in gates.items() if not (gate.passed or name in measured)}


def gate_after(machine: Path, name: str) -> Gate | None:
    """Return what a machine proved after a run, or after its part of a job; None for nothing.

    `machine` is its folder in the run's, `name` that of the run. A number of several machines
    counts only if `gates.why_invalid` has nothing against any of them.
    """
    return read_gate(machine / AFTER_FOLDER / f"{name}.json")


def read_gate(path: Path) -> Gate | None:
    """Return the verdict in a file; None where there is none."""
    if not path.exists():
        return None
    document = read_document(path, "vdl-gate")
    try:
        return gate_of(document)
    except (KeyError, TypeError) as error:
        raise UsageError(
            "this is no complete verdict of a gate", subject=str(path), why=f"{error} is missing",
            fix=BROKEN,
        ) from error  # fmt: skip


def broken(path: Path, missing: KeyError | TypeError) -> UsageError:
    """Return the error for a document that lacks something."""
    return UsageError(
        "this is no complete result document", subject=str(path), why=f"{missing} is missing",
        fix=BROKEN,
    )  # fmt: skip


def read_document(path: Path, kind: str) -> dict[str, Any]:
    """Read a document of the results folder.

    Raises:
        UsageError: It can't be read, is not whole, or is of another kind or version.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            "the file can't be read", subject=str(path), why=error.strerror,
            fix="name the folder of a run, such as results/LAB/RUN",
        ) from error  # fmt: skip
    except ValueError as error:
        raise UsageError(
            "the file can't be read", subject=str(path), why=f"it is not whole: {error}",
            fix=BROKEN,
        ) from error  # fmt: skip
    if not isinstance(document, dict) or document.get("kind") != kind:
        raise UsageError(f"this is no {kind} document", subject=str(path), fix=BROKEN)
    if document.get("version") != RUN_VERSION:
        raise UsageError(
            f"this document has version {document.get('version')}",
            subject=str(path),
            fix=f"this vdl reads version {RUN_VERSION}; use the vdl that wrote it",
        )
    return document
