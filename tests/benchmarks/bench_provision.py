"""Provisioning vGPU machines by vdl, by govc in a shell loop, and by a plain pyVmomi script.

Every machine goes all the way over HTTPS: clone, vGPU, power-on, address of the guest. All of
them are made in one simulated vCenter, in one run. vdl's time includes planning.
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
from tests.benchmarks.others import (
    CPUS,
    HOSTS,
    MEMORY_MIB,
    PROFILE,
    build_govc,
    by_govc,
    by_pyvmomi,
)
from tests.benchmarks.simulated import simulated_vcenter

MACHINES, PARALLEL, CLONE_SECONDS = 100, 8, 1.0

WORLD: dict[str, object] = {
    "latency": {"CloneVM_Task": f"{CLONE_SECONDS} s"},
    "DC0": {
        "templates": {"ubuntu-24.04": {}},
        "clusters": {
            "gpu": {
                "hosts": {
                    f"esx-[01-{HOSTS:02}]": {
                        "memory": "1 TiB",
                        "cards": {"count": 8, "model": "A100-80"},
                    }
                }
            }
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
        "defaults": {"cpus": CPUS, "memory": f"{MEMORY_MIB} MiB", "disk": "40 GiB"},
        "machines": {"gpu": {"count": MACHINES, "gpu": {"vgpu": PROFILE}}},
    }
)


def run() -> Iterator[str]:
    """Let each way make its machines in the same vCenter; vdl's come last, when it is fullest."""
    yield f"{MACHINES} machines with a vGPU each, clones of {CLONE_SECONDS:.0f} s, up to an address"
    with (
        tempfile.TemporaryDirectory() as folder,
        simulated_vcenter(WORLD, Path(folder)) as settings,
    ):
        script = by_pyvmomi(settings, MACHINES)
        yield f"pyVmomi, one machine after the other: {script:.1f} s"
        missing = build_govc()
        loop = None if missing else by_govc(settings, MACHINES, Path(folder))
        yield f"govc in a shell loop: {f'{loop:.1f} s' if loop else f'not measured, {missing}'}"
        ours = _provision(settings)
    ideal = math.ceil(MACHINES / PARALLEL) * CLONE_SECONDS
    times = f"{ours / ideal:.2f} x the ideal of {ideal:.0f} s"
    yield f"vdl, {PARALLEL} at a time: {ours:.1f} s, {times}"
    beside = f", {loop / ours:.1f} times as fast as govc" if loop else ""
    yield f"ratio: vdl is {script / ours:.1f} times as fast as pyVmomi{beside}"


def _provision(settings: ConnectionSettings) -> float:
    with VCenter(settings) as vcenter:
        started = time.perf_counter()
        today = plan(LAB, vcenter.snapshot(LAB))
        result = apply(today, vcenter, lab=LAB, replan=plan, options=Options(parallel=PARALLEL))
        seconds = time.perf_counter() - started
    if error := result.error():
        raise error
    return seconds
