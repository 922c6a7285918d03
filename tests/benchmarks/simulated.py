"""A simulated vCenter in a process of its own, so that client and server share no GIL."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from pydantic import SecretStr

from provision.vsphere.settings import ConnectionSettings


@contextmanager
def simulated_vcenter(world: dict[str, object], folder: Path) -> Iterator[ConnectionSettings]:
    """Serve a world, and give what is needed to log in."""
    world_file = folder / "bench.world.yaml"
    world_file.write_text(yaml.safe_dump(world, sort_keys=False))
    process = subprocess.Popen(
        [sys.executable, "-m", "provision.cli", "simulator", str(world_file), "-o", "json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        door = json.loads(process.stdout.readline())
        yield ConnectionSettings(
            server=door["server"],
            username=door["username"],
            password=SecretStr(Path(door["password_file"]).read_text().strip()),
            ca_file=Path(door["ca_file"]),
        )
    finally:
        process.terminate()
        process.wait()
