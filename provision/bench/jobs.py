"""What several machines came to that trained one model together.

```
results/<lab>/<run>/together/<group>/<job>/job.json        the job as a whole, by worker 0
results/<lab>/<run>/together/<group>/<job>/<machine>.json  what each worker measured
```
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provision.bench.gates import why_invalid
from provision.bench.results import (
    GATE_FILE,
    Interval,
    MachineFacts,
    broken,
    gate_after,
    read_document,
    read_gate,
    read_machines,
)

TOGETHER_FOLDER = "together"
JOB_FILE = "job.json"
NO_DOCUMENT = "the job has no document: a worker failed or was lost"


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a group of machines.

    `speed` is in images per second of all machines together, `alone` the sum of what they have
    one by one, `efficiency` the first over the second. `bound` is what the network lets pass at
    most. What was not measured is None; `document` is the job's own, empty where there is none.
    """

    group: str
    name: str
    machines: tuple[MachineFacts, ...]
    title: str
    speed: Interval | None
    alone: float | None
    efficiency: float | None
    gradient_bytes: int | None
    network_bytes_per_second: float | None
    bound: float | None
    valid: bool
    reasons: tuple[str, ...]
    document: Mapping[str, Any] = field(repr=False)

    @property
    def simulated(self) -> bool:
        """Whether a machine of it was simulated."""
        return any(machine.simulated for machine in self.machines)


def read_jobs(folder: Path) -> tuple[Job, ...]:
    """Read all jobs of a run's folder, by group and name.

    Raises:
        UsageError: The folder is no run, or a document in it is not whole.
    """
    machines = read_machines(folder)
    folders = sorted(path for path in (folder / TOGETHER_FOLDER).glob("*/*") if path.is_dir())
    return tuple(_job(folder, path, machines) for path in folders)


def _job(run: Path, folder: Path, machines: Mapping[str, MachineFacts]) -> Job:
    own = {path.stem: path for path in folder.glob("*.json") if path.name != JOB_FILE}
    members = tuple(facts for name, facts in machines.items() if name in own)
    reasons = [
        f"{name}: {reason}"
        for name in own
        for reason in why_invalid(
            read_gate(run / name / GATE_FILE), gate_after(run / name, folder.name)
        )
    ]
    path = folder / JOB_FILE
    if path.exists():
        return _measured(folder, members, path, reasons)
    told = [
        f"{name}: {reason}"
        for name, document in sorted(own.items())
        for reason in read_document(document, "vdl-result")["reasons"]
    ]
    return Job(
        folder.parent.name, folder.name, members, folder.name, None, None, None, None, None, None,
        valid=False, reasons=(NO_DOCUMENT, *told, *reasons), document={},
    )  # fmt: skip


def _measured(
    folder: Path, members: tuple[MachineFacts, ...], path: Path, doubts: list[str]
) -> Job:
    document = read_document(path, "vdl-job")
    try:
        throughput, network = document["throughput"], document["network"]
        return Job(
            group=folder.parent.name,
            name=folder.name,
            machines=members,
            title=_title(document),
            speed=Interval(throughput["low"], throughput["median"], throughput["high"]),
            alone=document["scaling"]["alone"],
            efficiency=document["scaling"]["efficiency"],
            gradient_bytes=network["gradient_bytes"],
            network_bytes_per_second=network["bytes_per_second"],
            bound=network["bound_images_per_second"],
            valid=document["valid"] and not doubts,
            reasons=(*document["reasons"], *doubts),
            document=document,
        )
    except (KeyError, TypeError) as error:
        raise broken(path, error) from error


def _title(document: Mapping[str, Any]) -> str:
    shape = "x".join(map(str, document["image_shape"]))
    return (
        f"{document['model']} {shape}, batch {document['batch_size']} a device, "
        f"{document['precision']}, {document['data']['source']} data, {document['engine']}"
    )
