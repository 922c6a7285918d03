"""Reading a large vCenter: vdl's snapshot against the attribute-by-attribute habit.

Both read the same facts of the same simulated vCenter in the same run: of each host its name,
state, memory and graphics devices, of each VM its name, UUID, power state, host, CPUs, memory.
"""

import ssl
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyVmomi import SoapStubAdapter, vim

from provision.spec.model import Lab
from provision.vsphere.settings import ConnectionSettings
from provision.vsphere.vcenter import VCenter
from tests.benchmarks.simulated import simulated_vcenter

HOSTS, VMS, CARDS = 1_000, 10_000, 8

CARD_BLOCK = {"count": CARDS, "model": "A100-80"}
WORLD: dict[str, object] = {
    "DC0": {
        "templates": {"ubuntu-24.04": {}},
        "clusters": {
            "gpu": {
                "hosts": {
                    f"esx-[0001-{HOSTS:04}]": {"cards": {"count": CARDS, "model": "A100-80"}}
                },
                "vms": {f"job-[00001-{VMS:05}]": {"memory": "4 GiB"}},
            }
        },
        "datastores": {"vsan": "900 TiB"},
    }
}
LAB = Lab.model_validate(
    {
        "lab": "bench",
        "vcenter": {"datacenter": "DC0", "cluster": "gpu", "datastore": "vsan"},
        "template": "ubuntu-24.04",
        "guest": {"ssh_key": "unused"},
        "machines": {"cpu": {}},
    }
)


def run() -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory() as folder,
        simulated_vcenter(WORLD, Path(folder)) as settings,
    ):
        calls, seconds = _in_bulk(settings)
        yield (
            f"vdl, all of {HOSTS:,} hosts with {CARDS} cards and {VMS:,} VMs: "
            f"{calls:,} round trips, {seconds:.1f} s"
        )
        slow_calls, slow_seconds = _one_by_one(settings)
        yield f"attribute by attribute: {slow_calls:,} round trips, {slow_seconds:.1f} s"
        yield f"ratio: round trips {slow_calls / calls:,.0f}, time {slow_seconds / seconds:.1f}"


def _in_bulk(settings: ConnectionSettings) -> tuple[int, float]:
    with VCenter(settings) as vcenter:
        send, calls = vcenter.session.InvokeMethod, 0

        def counted(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            return send(*arguments)

        vcenter.session.InvokeMethod = counted
        started = time.perf_counter()
        snapshot = vcenter.snapshot(LAB)
        seconds = time.perf_counter() - started
        assert len(snapshot.hosts) == HOSTS
        assert len(snapshot.vms) == VMS
        return calls, seconds


class Counting(SoapStubAdapter):  # type: ignore[misc]  # pyVmomi ships no types
    """A stock pyVmomi stub that counts its round trips."""

    round_trips = 0

    def InvokeMethod(self, *args: Any, **kwargs: Any) -> Any:  # noqa: N802 - pyVmomi's name
        self.round_trips += 1
        return super().InvokeMethod(*args, **kwargs)


def _one_by_one(settings: ConnectionSettings) -> tuple[int, float]:
    """Read as most scripts do: a container view, then attributes in loops."""
    trust = ssl.create_default_context(cafile=str(settings.ca_file))
    stub = Counting(settings.host, settings.port, version="vim.version.v8_0_2_0", sslContext=trust)
    content = vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()
    content.sessionManager.Login(settings.username, settings.password.get_secret_value())
    before, started = stub.round_trips, time.perf_counter()
    view = content.viewManager.CreateContainerView
    for host in view(content.rootFolder, type=[vim.HostSystem], recursive=True).view:
        _ = (host.name, host.runtime, host.hardware, host.config)
    for vm in view(content.rootFolder, type=[vim.VirtualMachine], recursive=True).view:
        _ = (vm.name, vm.runtime, vm.config)
    seconds = time.perf_counter() - started
    content.sessionManager.Logout()
    return stub.round_trips - before, seconds
