"""How close `vdl provision` comes to what the number of machines at a time allows.

Clones that take one second each, made by the whole pipeline (clone, attach, power on, guest)
over HTTPS, with the simulated vCenter in a process of its own. Only ratios are printed: the
seconds depend on the machine.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provision.vsphere.vcenter import VCenter
from pydantic import SecretStr

from provision.apply.runner import Options, apply
from provision.plan.planner import plan
from provision.simulator.engine.latency import parse_seconds
from provision.spec.model import Lab
from provision.vsphere.settings import ConnectionSettings

WORLD = """
guests: none
latency: {{CloneVM_Task: {latency}}}
DC0:
  templates: {{ubuntu-24.04: {{firmware: efi, hardware: 19, memory: 4 GiB, disk: 40 GiB}}}}
  clusters:
    gpu:
      hosts:
        esx-[01-08]: {{memory: 1 TiB, cards: {{count: 8, model: A100-80}}}}
  datastores: {{vsan: 100 TiB}}
"""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long so many machines took, beside the shortest time that is possible."""

    parallel: int
    seconds: float
    ideal: float

    @property
    def ratio(self) -> float:
        """Times the ideal; 1.0 is perfect."""
        return self.seconds / self.ideal


def provision_bench(
    machines: int = 100, latency: str = "1 s", parallel: int = 8
) -> tuple[Timing, Timing]:
    """Time the same lab one machine after the other and `parallel` at a time, and print both.

    Args:
        machines: How many machines, each with a vGPU.
        latency: How long a clone takes.
        parallel: How many steps may run at a time.
    """
    lab = _lab(machines)
    each = parse_seconds(latency, "latency")
    with tempfile.TemporaryDirectory(prefix="vdl-bench-") as folder:
        timings = []
        for number in (1, parallel):
            with _served(Path(folder), latency) as settings:
                ideal = math.ceil(machines / number) * each
                timings.append(Timing(number, _time(lab, settings, number), ideal))
    serial, together = timings
    _print(f"{machines} machines, clones of {latency}")
    for timing in timings:
        _print(f"  {timing.parallel:>3} at a time: {timing.ratio:.2f} x the ideal")
    _print(f"  speed-up: {serial.seconds / together.seconds:.1f} of {parallel}")
    return serial, together


def _lab(machines: int) -> Lab:
    return Lab.model_validate(
        {
            "lab": "bench",
            "vcenter": {"datacenter": "DC0", "cluster": "gpu", "datastore": "vsan"},
            "template": "ubuntu-24.04",
            "guest": {"ssh_key": "ssh-ed25519 AAAA bench"},
            "defaults": {"cpus": 2, "memory": "8 GiB", "disk": "40 GiB"},
            "machines": {"gpu": {"count": machines, "gpu": {"vgpu": "grid_a100d-10c"}}},
        }
    )


def _time(lab: Lab, settings: ConnectionSettings, parallel: int) -> float:
    options = Options(parallel=parallel)
    with VCenter(settings) as vcenter:
        today = plan(lab, vcenter.snapshot(lab))
        begun = time.perf_counter()
        result = apply(today, vcenter, lab=lab, replan=plan, options=options)
        seconds = time.perf_counter() - begun
        if error := result.error():
            raise error
    return seconds


@contextmanager
def _served(folder: Path, latency: str) -> Iterator[ConnectionSettings]:
    """Serve the world from another process, so that client and server share no interpreter."""
    world = folder / "bench.world.yaml"
    world.write_text(WORLD.format(latency=latency), encoding="utf-8")
    command = [sys.executable, "-m", "provision.cli", "simulator", str(world), "-o", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            door = json.loads(server.stdout.readline() if server.stdout else "")
            password = Path(door["password_file"]).read_text(encoding="utf-8").strip()
            yield ConnectionSettings(
                door["server"], door["username"], SecretStr(password), Path(door["ca_file"])
            )
        finally:
            server.terminate()


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    provision_bench()
