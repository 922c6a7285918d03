"""`PlaceVm`: where DRS would put a VM, existing or not. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any

from pyVmomi import vim, vmodl

from provision.simulator.inventory import admission, clone, faults, reconfigure
from provision.simulator.inventory.checkers import Candidate, from_nothing, require_network

if TYPE_CHECKING:
    from provision.simulator.inventory.compute import Cluster
    from provision.simulator.inventory.host import Host
    from provision.simulator.inventory.inventory import Inventory

BEST_RATING = 5
_REASON = "xvmotionPlacement"


def place(cluster: Cluster, spec: Any) -> Any:
    """Return a recommendation for each host that could run the VM now, the roomiest first.

    Raises:
        vmodl.fault.InvalidArgument: The specification does not say what is to be placed.
        vmodl.fault.NotSupported: The cluster has no DRS.
    """
    if not cluster.drs:
        raise faults.unsupported(f"{cluster.name} has no DRS to place VMs.")
    inventory = cluster.inventory
    hosts = [inventory.host(ref) for ref in spec.hosts or ()] or list(cluster.hosts)
    candidate = _candidate(inventory, spec)
    fitting, refused = [], []
    for host in hosts:
        try:
            vm = candidate(host)
            admission.admit(vm, host)
            clone.check_datastore(vm.config.datastore, host)
            require_network(vm, host)
        except vmodl.MethodFault as fault:
            refused.append((host, fault))
        else:
            fitting.append((host, vm))
    fitting.sort(key=lambda pair: pair[0].memory_reserved - pair[0].memory)
    return vim.cluster.PlacementResult(
        recommendations=[
            _recommendation(str(number), host, vm) for number, (host, vm) in enumerate(fitting, 1)
        ],
        drsFault=None if fitting else _drs_faults(refused),
    )


def _candidate(inventory: Inventory, spec: Any) -> Callable[[Host], Candidate]:
    """Return what makes the VM that is to be placed, as it would be on a host."""
    kind = spec.placementType or "relocate"
    if kind == "create":
        if spec.configSpec is None:
            raise faults.invalid_argument("placementSpec.configSpec", "What is to be created?")
        from_nothing(next(iter(inventory.hosts.values())), spec.configSpec)
        return lambda host: _named(from_nothing(host, spec.configSpec))
    if spec.vm is None:
        raise faults.invalid_argument("placementSpec.vm", "Which VM is to be placed?")
    vm = inventory.vm(spec.vm)
    if kind != "clone":
        change = spec.configSpec or vim.vm.ConfigSpec()
        return lambda _: _named(reconfigure.applied(vm.config, change, running=False))
    if spec.cloneSpec is None or not spec.cloneName:
        raise faults.invalid_argument("placementSpec.cloneSpec", "What shall the clone be?")
    name, folder = spec.cloneName, vm.host.cluster.datacenter.vm_folder

    def copied(host: Host) -> Candidate:
        there = copy(spec.cloneSpec)
        there.location = copy(spec.cloneSpec.location)
        there.location.host = host.ref
        there.location.pool = there.location.pool or host.cluster.pool.ref
        return _named(clone.copied(vm, name, clone.place_of(vm, folder, there), there))

    return copied


def _named(config: Any) -> Candidate:
    return Candidate(config.name, config)


def _recommendation(key: str, host: Host, vm: Candidate) -> Any:
    target = vim.vm.RelocateSpec(
        host=host.ref, pool=host.cluster.pool.ref, datastore=vm.config.datastore.ref
    )
    return vim.cluster.Recommendation(
        key=key,
        type="V1",
        time=host.world.clock.now(),
        rating=BEST_RATING if key == "1" else 1,
        reason=_REASON,
        reasonText=f"{host.name} has room for {vm.name}.",
        action=[
            vim.cluster.PlacementAction(
                type="PlacementV1", targetHost=host.ref, relocateSpec=target
            )
        ],
        target=host.cluster.ref,
    )


def _drs_faults(refused: list[tuple[Host, Any]]) -> Any:
    kind: Any = vim.cluster.DrsFaults
    by_vm = [kind.FaultsByVm(fault=[fault]) for _, fault in refused]
    return kind(reason=_REASON, faultsByVm=by_vm)
