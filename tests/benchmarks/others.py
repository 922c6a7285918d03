"""How vGPU machines are made without vdl: a shell loop around govc, and a pyVmomi script."""

from __future__ import annotations

import itertools
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyVim.connect import Disconnect, SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim

from provision.vsphere.settings import ConnectionSettings

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "tests" / "contract" / "govc"
BINARY = ROOT / ".tools" / "govc" / "govc"
HOSTS, MEMORY_MIB, CPUS, PROFILE = 8, 8192, 2, "grid_a100d-10c"
MMIO = {"pciPassthru.use64bitMMIO": "TRUE", "pciPassthru.64bitMMIOSizeGB": "256"}

# What an administrator writes who wants it done: one machine after the other, on every host in
# turn, and a look for its address at the end.
LOOP = f"""
set -eu
for number in $(seq {{machines}}); do
    name=govc-$number host=esx-0$(( number % {HOSTS} + 1 ))
    "$GOVC" vm.clone -vm ubuntu-24.04 -on=false -host $host -pool gpu/Resources -ds vsan \\
        -c {CPUS} -m {MEMORY_MIB} $name
    "$GOVC" vm.change -vm $name -memory-pin=true {" ".join(f"-e {k}={v}" for k, v in MMIO.items())}
    "$GOVC" gpu.vm.add -vm $name -profile {PROFILE}
    "$GOVC" vm.power -on $name
    "$GOVC" vm.ip $name
done
"""


def build_govc() -> str | None:
    """Build govc at the version that the contract tests pin; return why it is missing, if it is."""
    if shutil.which("go") is None:
        return "Go is not installed"
    BINARY.parent.mkdir(parents=True, exist_ok=True)
    command = ["go", "build", "-o", str(BINARY), "."]
    done = subprocess.run(command, cwd=SOURCE, check=False, capture_output=True, text=True)
    return None if done.returncode == 0 else f"it can't be built: {done.stderr.strip()[-200:]}"


def by_govc(settings: ConnectionSettings, machines: int, folder: Path) -> float:
    """Return how many seconds the shell loop takes."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),  # govc keeps its session there, so that it logs in only once
        "GOVC": str(BINARY),
        "GOVC_URL": f"https://{settings.server}/sdk",
        "GOVC_USERNAME": settings.username,
        "GOVC_PASSWORD": settings.password.get_secret_value(),
        "GOVC_TLS_CA_CERTS": str(settings.ca_file),
    }
    script = folder / "loop.sh"
    script.write_text(LOOP.format(machines=machines), encoding="utf-8")
    started = time.perf_counter()
    done = subprocess.run(
        ["bash", str(script)],  # noqa: S607 - the shell as the PATH has it
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return time.perf_counter() - started


def by_pyvmomi(settings: ConnectionSettings, machines: int) -> float:
    """Return how many seconds a script takes that waits for each task before the next."""
    with _content(settings) as content:
        things = _by_name(content)
        hosts = itertools.cycle(things[f"esx-{n:02}"] for n in range(1, HOSTS + 1))
        started = time.perf_counter()
        for number in range(machines):
            _make(things, next(hosts), f"pyvmomi-{number}")
        return time.perf_counter() - started


def _make(things: dict[str, Any], host: Any, name: str) -> None:
    folder = things["DC0"].vmFolder
    place = vim.vm.RelocateSpec(
        host=host, pool=things["gpu"].resourcePool, datastore=things["vsan"]
    )
    config = vim.vm.ConfigSpec(
        numCPUs=CPUS,
        memoryMB=MEMORY_MIB,
        memoryReservationLockedToMax=True,
        extraConfig=[vim.option.OptionValue(key=key, value=value) for key, value in MMIO.items()],
    )
    spec = vim.vm.CloneSpec(location=place, config=config, powerOn=False, template=False)
    clone = things["ubuntu-24.04"].CloneVM_Task(folder=folder, name=name, spec=spec)
    WaitForTask(clone)
    vm = clone.info.result
    WaitForTask(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[_vgpu()])))
    WaitForTask(vm.PowerOnVM_Task())
    while not vm.guest.ipAddress:
        time.sleep(0.1)


def _vgpu() -> Any:
    backing = vim.vm.device.VirtualPCIPassthrough.VmiopBackingInfo(vgpu=PROFILE)
    device = vim.vm.device.VirtualPCIPassthrough(key=-1, backing=backing)
    return vim.vm.device.VirtualDeviceSpec(operation="add", device=device)


@contextmanager
def _content(settings: ConnectionSettings) -> Iterator[Any]:
    instance = SmartConnect(
        host=settings.host,
        port=settings.port,
        user=settings.username,
        pwd=settings.password.get_secret_value(),
        sslContext=ssl.create_default_context(cafile=str(settings.ca_file)),
    )
    try:
        yield instance.RetrieveContent()
    finally:
        Disconnect(instance)


def _by_name(content: Any) -> dict[str, Any]:
    kinds = [vim.Datacenter, vim.ComputeResource, vim.HostSystem, vim.Datastore, vim.VirtualMachine]
    view = content.viewManager.CreateContainerView(content.rootFolder, kinds, recursive=True)
    return {one.name: one for one in view.view}
