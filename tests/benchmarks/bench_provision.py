"""How close `vdl provision` comes to what the number of machines at a time allows.

Every machine goes through the whole pipeline over HTTPS: clone (one second each), attach, power
on, wait for the guest. One after the other and eight at a time are measured in the same run.
"""

import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from provision.apply.runner import Options, apply
from provision.plan.planner import plan
from provision.spec.model import Lab
from provision.vsphere.settings import ConnectionSettings
from provision.vsphere.vcenter import VCenter
from tests.benchmarks.simulated import simulated_vcenter

MACHINES, PARALLEL, CLONE_SECONDS = 100, 8, 1.0

CARDS = {"count": 8, "model": "A100-80"}
WORLD: dict[str, object] = {
    "latency": {"CloneVM_Task": f"{CLONE_SECONDS} s"},
    "DC0": {
        "templates": {"ubuntu-24.04": {}},
        "clusters": {
            "gpu": {"hosts": {"esx-[01-08]": {"cards": {"count": 8, "model": "A100-80"}}}}
        },
        "datastores": {"vsan": "100 TiB"},
    },
}
LAB = Lab.model_validate(
    {
        "lab": "bench",
        "vcenter": {"datacenter": "DC0", "cluster": "gpu", "datastore": "vsan"},
        "template": "ubuntu-24.04",
        "guest": {"ssh_key": "ssh-ed25519 AAAA bench"},
        "defaults": {"cpus": 2, "memory": "8 GiB", "disk": "40 GiB"},
        "machines": {"gpu": {"count": MACHINES, "gpu": {"vgpu": "grid_a100d-10c"}}},
    }
)


def run() -> Iterator[str]:
    yield f"{MACHINES} machines with a vGPU each, clones of {CLONE_SECONDS:.0f} s"
    seconds: dict[int, float] = {}
    for parallel in (1, PARALLEL):
        with (
            tempfile.TemporaryDirectory() as folder,
            simulated_vcenter(WORLD, Path(folder)) as settings,
        ):
            seconds[parallel] = _provision(settings, parallel)
        ideal = math.ceil(MACHINES / parallel) * CLONE_SECONDS
        yield (
            f"--parallel {parallel}: {seconds[parallel]:.1f} s, "
            f"{seconds[parallel] / ideal:.2f} x the ideal of {ideal:.0f} s"
        )
    yield f"ratio: {seconds[1] / seconds[PARALLEL]:.1f} times as fast as one after the other"


def _provision(settings: ConnectionSettings, parallel: int) -> float:
    with VCenter(settings) as vcenter:
        today = plan(LAB, vcenter.snapshot(LAB))
        started = time.perf_counter()
        result = apply(today, vcenter, lab=LAB, replan=plan, options=Options(parallel=parallel))
        seconds = time.perf_counter() - started
    if error := result.error():
        raise error
    return seconds
