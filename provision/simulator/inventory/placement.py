"""What DRS does: hosts for new VMs, for VMs at power-on, and away from a host."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pyVmomi import vim, vmodl

from provision.simulator.inventory import admission, faults

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.inventory.compute import Cluster
    from provision.simulator.inventory.host import Host
    from provision.simulator.inventory.storage import Datastore
    from provision.simulator.inventory.vm import VirtualMachine


def _room(host: Host) -> int:
    return host.memory - host.memory_reserved


def host_for_new(cluster: Cluster, datastore: Datastore) -> Host:
    """Return the host with the most unreserved memory that mounts the datastore.

    Raises:
        vim.fault.NoCompatibleHost: There is none.
    """
    fitting = [h for h in cluster.hosts if h.usable and datastore in h.datastores]
    if not fitting:
        raise faults.refuse(
            vim.fault.NoCompatibleHost,
            f"No host of cluster {cluster.name} is available and mounts {datastore.name}.",
        )
    return max(fitting, key=_room)


def find_host(vm: VirtualMachine) -> Host:
    """Return a host that runs the VM now: its own one, else that with the most memory.

    Raises:
        vmodl.MethodFault: None does; the one fault, or `NoCompatibleHost` with all of them.
    """
    cluster = vm.host.cluster
    others = [h for h in cluster.hosts if h is not vm.host and vm.config.datastore in h.datastores]
    candidates = [vm.host, *sorted(others, key=_room, reverse=True)] if cluster.drs else [vm.host]
    refused: list[Any] = []
    for host in candidates:
        try:
            admission.admit(vm, host)
        except vmodl.MethodFault as fault:
            refused.append(fault)
        else:
            return host
    if len(refused) == 1:
        raise refused[0]
    raise faults.refuse(
        vim.fault.NoCompatibleHost,
        f"No host is compatible with virtual machine {vm.name}: "
        + " ".join(map(faults.text, refused)),
        host=[host.ref for host in candidates],
        error=refused,
    )


def power_on_all(call: Call, vms: list[VirtualMachine]) -> Callable[[], Any]:
    """Return the work of `PowerOnMultiVM_Task`: a task for each VM that finds a host."""

    def work() -> Any:
        attempted, refused = [], []
        for vm in vms:
            try:
                vm.require_power("poweredOff", requested="poweredOn")
                task = start(vm, find_host(vm))
            except vmodl.MethodFault as fault:
                refused.append(vim.cluster.NotAttemptedVmInfo(vm=vm.ref, fault=fault))
            else:
                attempted.append(vim.cluster.AttemptedVmInfo(vm=vm.ref, task=task))
        return vim.cluster.PowerOnVmResult(attempted=attempted, notAttempted=refused)

    def start(vm: VirtualMachine, host: Host) -> Any:
        return vm.exclusive(call, "PowerOnVM_Task", lambda: vm.start_on(host))

    return work


def evacuate(host: Host) -> None:
    """Move running VMs to other hosts, as DRS does; passthrough devices hold theirs back."""
    if not host.cluster.drs:
        return
    for vm in host.running:
        if vm.config.gpus:
            continue
        for other in host.cluster.hosts:
            if other is not host and other.usable and vm.config.datastore in other.datastores:
                vm.move_to_host(other)
                break
