"""The inventory of 1,000 machines: from vCenter, and beside it what Ansible needs for a file.

All of them end with the same machines and variables in Ansible. The first line is `vdl inventory`
alone, the second Ansible with vdl's plugin; the others read from disk what vdl has written there.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from provision.guests.resources import PACKAGE
from provision.vsphere.settings import ConnectionSettings
from tests.benchmarks.simulated import simulated_vcenter
from tests.guests.crowd import crowded_world, write_lab

MACHINES, GOAL_SECONDS = 1_000, 2
SOURCE = {"plugin": "vdl.lab.machines", "lab": "lab.yaml"}
BIN = Path(sys.executable).parent


def run() -> Iterator[str]:
    yield f"{MACHINES:,} machines with a vGPU each (goal: below {GOAL_SECONDS} s)"
    with (
        tempfile.TemporaryDirectory() as temporary,
        simulated_vcenter(crowded_world(MACHINES), Path(temporary)) as settings,
    ):
        folder = Path(temporary)
        write_lab(folder)
        (folder / "lab.vdl.yml").write_text(json.dumps(SOURCE))
        environment = _environment(settings, folder)
        listed, ours = _timed([BIN / "vdl", "inventory", "-o", "json"], folder, environment)
        yield f"vdl inventory, from vCenter: {ours:.1f} s"
        for name, source in _sources(folder, environment, json.loads(listed)):
            words = [BIN / "ansible-inventory", "-i", source, "--list"]
            found, seconds = _timed(words, folder, environment)
            assert len(json.loads(found)["_meta"]["hostvars"]) == MACHINES
            yield f"ansible-inventory, {name}: {seconds:.1f} s, {seconds / ours:.1f} x the first"


def _sources(
    folder: Path, environment: dict[str, str], inventory: dict[str, Any]
) -> Iterator[tuple[str, Path]]:
    """Yield the ways to the same inventory, each with what it is called."""
    yield "vdl's plugin, from vCenter", folder / "lab.vdl.yml"
    text, _ = _timed([BIN / "vdl", "inventory", "-o", "yaml"], folder, environment)
    (folder / "static.yml").write_text(text)
    yield "a YAML file", folder / "static.yml"
    script = folder / "script"
    script.write_text(f'#!/bin/sh\nexec cat "{folder}/listed.json"\n')
    script.chmod(0o700)
    (folder / "listed.json").write_text(json.dumps(inventory))
    yield "a script that prints JSON", script
    (folder / "static.ini").write_text(_ini(inventory))
    yield "an INI file", folder / "static.ini"


def _ini(inventory: dict[str, Any]) -> str:
    lines = [
        " ".join([name, *(f"{key}={json.dumps(str(value))}" for key, value in known.items())])
        for name, known in inventory["_meta"]["hostvars"].items()
    ]
    for group, members in inventory.items():
        if group not in {"_meta", "all"}:
            lines += [f"[{group}]", *members["hosts"]]
    return "\n".join(lines) + "\n"


def _environment(settings: ConnectionSettings, folder: Path) -> dict[str, str]:
    password = folder / "pw"
    password.write_text(settings.password.get_secret_value())
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": str(PACKAGE.parent / "inventory"),
        "VDL_SERVER": settings.server,
        "VDL_USERNAME": settings.username,
        "VDL_PASSWORD_FILE": str(password),
        "VDL_CA_FILE": str(settings.ca_file),
    }


def _timed(words: list[str | Path], folder: Path, environment: dict[str, str]) -> tuple[str, float]:
    started = time.perf_counter()
    done = subprocess.run(
        words, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout, time.perf_counter() - started
