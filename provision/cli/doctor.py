"""`vdl doctor`: check this computer, the lab file and the way to vCenter."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from provision import __version__
from provision.cli.connect import vcenter_of
from provision.cli.options import VCenterOptions, lab_argument, output_option, vcenter_options
from provision.cli.output import show_json, write_line
from provision.errors import VdlError
from provision.spec.model import Lab
from provision.spec.reader import load_lab

VERSION = 1


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `fix` says what to do where it is not well."""

    name: str
    found: str
    ok: bool = True
    fix: str = ""


@click.command("doctor")
@lab_argument
@output_option
@vcenter_options
def command(*, lab_file: Path, output: str, vcenter: VCenterOptions) -> None:
    """Check this computer, the lab file and the way to vCenter; change nothing."""
    checks = [*_computer(), *_lab_and_vcenter(lab_file, vcenter)]
    if output == "json":
        show_json({"version": VERSION, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            write_line(f"{'ok ' if check.ok else 'BAD'} {check.name}: {check.found}")
            if not check.ok and check.fix:
                write_line(f"    fix: {check.fix}")
    if bad := [check.name for check in checks if not check.ok]:
        raise VdlError(f"{len(bad)} of {len(checks)} checks failed: {', '.join(bad)}")


def _computer() -> Iterator[Check]:
    yield Check("vdl", f"{__version__}, Python {platform.python_version()}")
    for package in ("pyvmomi", "ansible-core"):
        yield Check(package, importlib.metadata.version(package))
    playbook = Path(sys.executable).parent / "ansible-playbook"
    yield _present("ansible-playbook", shutil.which(str(playbook)), "install vdl again")
    yield _present("ssh", shutil.which("ssh"), "install the OpenSSH client")


def _present(name: str, path: str | None, fix: str) -> Check:
    return Check(name, path or "not found", ok=path is not None, fix=fix)


def _lab_and_vcenter(lab_file: Path, options: VCenterOptions) -> Iterator[Check]:
    lab: list[Lab] = []

    def read() -> str:
        lab.append(load_lab(lab_file))
        return f"{lab_file}: {len(lab[0].resolve())} machines"

    def connect() -> str:
        with vcenter_of(lab[0], options) as connection:
            snapshot = connection.snapshot(lab[0])
        cards = sum(len(host.cards) for host in snapshot.hosts)
        where = f"{snapshot.datacenter}/{snapshot.cluster}"
        return (
            f"API {snapshot.vcenter.api_version}, {where}: "
            f"{len(snapshot.hosts)} hosts, {cards} NVIDIA cards"
        )

    yield _tried("lab file", read)
    if lab:
        yield _tried("vCenter", connect)


def _tried(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, look())
    except VdlError as error:
        said = "; ".join(part for part in (error.what, error.why) if part)
        return Check(name, said, ok=False, fix=error.fix or "")
