"""`vdl simulator --record`: a world file of a real vCenter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from provision.cli.connect import settings_at
from provision.cli.options import VCenterOptions
from provision.cli.output import say, show, show_json
from provision.errors import SpecError, UsageError

VERSION = 1
COMMENT = "A copy of a vCenter, by `vdl simulator --record`. Rehearse: vdl simulator {name}"


def record(file: Path, options: VCenterOptions, *, anonymous: bool, output: str) -> None:
    """Write a world file of the vCenter that the options name.

    Raises:
        UsageError: No vCenter is named, or the file exists already or can't be written.
        NoConnection: vCenter can't be reached, its certificate or the login is refused.
        SpecError: The simulator can't start the world; the file is there to be corrected.
    """
    settings = settings_at(options.server, options, "use --server or VDL_SERVER")
    # pyVmomi takes a third of a second to import: not before the options are known to be right.
    from provision.simulator import worldwriter  # noqa: PLC0415
    from provision.vsphere.recorder import record as record_vcenter  # noqa: PLC0415
    from provision.vsphere.session import Session  # noqa: PLC0415

    with _new(file) as stream:
        try:
            with Session(settings) as session:
                recording = record_vcenter(session, anonymous=anonymous)
        except BaseException:
            file.unlink()
            raise
        text = worldwriter.dump(recording.world, COMMENT.format(name=file.name))
        stream.write(text)
    _check(file)
    counts = _counts(recording.world)
    if output == "json":
        document = {"version": VERSION, "file": str(file), "notes": list(recording.notes)}
        show_json(document | {"counts": counts})
        return
    for note in recording.notes:
        say(f"note: {note}")
    show(f"{file}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    say(f"now rehearse: vdl simulator {file}")


def _new(file: Path) -> Any:
    """Open a file that does not exist yet: a recording takes time, and so did the last one."""
    try:
        return file.open("x", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            "the recording can't be written here",
            subject=str(file),
            why=error.strerror,
            fix="name a file that does not exist yet, in a folder that does",
        ) from error


def _check(file: Path) -> None:
    """Start the recorded world once: what the simulator refuses shows now."""
    from provision.simulator.server import Simulator  # noqa: PLC0415

    try:
        Simulator.from_file(file).close()
    except SpecError as error:
        raise SpecError(
            "the recording is written, but the simulator can't start it",
            subject=str(file),
            why=error.text(),
            fix="correct the file, for example with power: off for the VM that is named",
        ) from error


def _counts(world: Mapping[str, Any]) -> dict[str, int]:
    areas = [area for name, area in world.items() if name != "vcenter"]
    clusters = [c for area in areas for c in area.get("clusters", {}).values()]
    hosts = [host for cluster in clusters for host in cluster.get("hosts", {}).values()]
    return {
        "datacenters": len(areas),
        "clusters": len(clusters),
        "hosts": len(hosts),
        "cards": sum(len(host.get("cards", ())) for host in hosts),
        "vms": sum(len(cluster.get("vms", {})) for cluster in clusters),
        "templates": sum(len(area.get("templates", {})) for area in areas),
    }
