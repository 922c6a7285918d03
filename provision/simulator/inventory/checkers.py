"""vCenter's own checks: would a clone, a power-on, a configuration work? Nothing is changed.

They run the very code of the operations that they speak for. Whether a host must be named
follows the API reference of `vim.vm.check.CompatibilityChecker`: it may be left out where DRS
chooses one, and a template has no host of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pyVmomi import vim, vmodl

from provision.simulator.engine.objects import SimObject, method
from provision.simulator.inventory import (
    admission,
    clone,
    faults,
    limits,
    permission,
    reconfigure,
)
from provision.simulator.inventory.entity import checked_name

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.inventory.folder import Folder
    from provision.simulator.inventory.host import Host
    from provision.simulator.inventory.inventory import Inventory
    from provision.simulator.inventory.vm import VirtualMachine
    from provision.simulator.inventory.vmconfig import VmConfig

Test = Callable[[], object]
_Result: Any = vim.vm.check.Result
# What keeps nothing from happening: a network is needed when the VM runs.
WARNINGS = (vim.fault.CannotAccessNetwork,)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A VM that might be made."""

    name: str
    config: VmConfig


class _Checker(SimObject):
    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory
        super().__init__(inventory.world, self.prefix)

    def _hosts(self, vm: VirtualMachine | None, host: Any, pool: Any) -> list[Host]:
        """Return the hosts to ask.

        Raises:
            vmodl.fault.InvalidArgument: None is named and none can be inferred, or host and
                pool are of different clusters.
        """
        cluster = self.inventory.pool(pool).cluster if pool is not None else None
        if host is not None:
            found = self.inventory.host(host)
            if cluster not in (None, found.cluster):
                raise faults.invalid_argument(
                    "pool", f"{found.name} is in another cluster than the resource pool."
                )
            return [found]
        if cluster is None and vm is not None and not vm.config.template:
            cluster = vm.host.cluster
        if cluster is None:
            raise faults.invalid_argument("host", "A host or a resource pool must be named.")
        if not cluster.drs:
            raise faults.invalid_argument("host", f"{cluster.name} has no DRS to choose a host.")
        return [host for host in cluster.hosts if host.usable]

    def _answer(
        self,
        call: Call,
        name: str,
        vm: VirtualMachine | None,
        tests: Callable[[Host], Iterable[Test]],
        *,
        host: Any,
        pool: Any,
        inferred: bool = True,
    ) -> Any:
        """Start the task whose result tells the faults of all tests, host by host.

        Args:
            call: The call of the check.
            name: The check.
            vm: What it is about; None for a VM that does not exist.
            tests: The tests of a host.
            host: The host that the client names, if any.
            pool: The resource pool that it names, if any.
            inferred: Whether the VM's own place will do where it names neither.
        """
        hosts = self._hosts(vm if inferred else None, host, pool)

        def work() -> Any:
            return _Result.Array(_result(vm, host, tests(host)) for host in hosts)

        return call.start_task(vm or hosts[0], name, work)


def _result(vm: VirtualMachine | None, host: Host, tests: Iterable[Test]) -> Any:
    """Return what a host says: the faults of all tests that fail."""
    found: list[Any] = []
    for test in tests:
        try:
            test()
        except vmodl.MethodFault as fault:
            if faults.text(fault) not in map(faults.text, found):
                found.append(fault)
    return _Result(
        vm=vm.ref if vm else None,
        host=host.ref,
        error=[fault for fault in found if not isinstance(fault, WARNINGS)],
        warning=[fault for fault in found if isinstance(fault, WARNINGS)],
    )


class ProvisioningChecker(_Checker):
    """`content.vmProvisioningChecker`."""

    wsdl_type = vim.vm.check.ProvisioningChecker
    prefix = "ProvChecker"

    @method("CheckClone_Task")
    def check_clone(
        self,
        call: Call,
        vm: Any,
        folder: Any,
        name: str,
        spec: Any,
        testType: list[str] | None = None,  # noqa: N803 - WSDL's name
    ) -> Any:
        """Tell what would keep `CloneVM_Task` from making this clone."""
        del testType
        source, target = self.inventory.vm(vm), self.inventory.folder(folder)

        def tests(host: Host) -> Iterator[Test]:
            there = copy(spec)
            there.location = copy(spec.location)
            there.location.host = host.ref
            yield lambda: permission.require(call, permission.for_clone(source, target, there))
            yield lambda: target.require_free(name)
            yield lambda: _make(_copy(source, target, name, there), host)
            yield lambda: require_network(_copy(source, target, name, there), host)

        where = spec.location
        return self._answer(
            call, "CheckClone_Task", source, tests, host=where.host, pool=where.pool
        )


def _copy(source: VirtualMachine, folder: Folder, name: str, spec: Any) -> Candidate:
    """Return what a clone would be."""
    place = clone.place_of(source, folder, spec)
    return Candidate(name, clone.copied(source, checked_name(name), place, spec))


def _make(made: Candidate, host: Host) -> None:
    """Do all of a clone but putting it into the inventory."""
    require_supported(made, host)
    made.config.datastore.require_room(made.config.disks_size)


class CompatibilityChecker(_Checker):
    """`content.vmCompatibilityChecker`."""

    wsdl_type = vim.vm.check.CompatibilityChecker
    prefix = "CompatChecker"

    @method("CheckCompatibility_Task")
    def check_compatibility(
        self,
        call: Call,
        vm: Any,
        host: Any = None,
        pool: Any = None,
        testType: list[str] | None = None,  # noqa: N803 - WSDL's name
    ) -> Any:
        """Tell what would keep a VM from being registered on a host."""
        del testType
        found = self.inventory.vm(vm)

        def tests(host: Host) -> Iterator[Test]:
            return _suits(lambda: found, host)

        return self._answer(call, "CheckCompatibility_Task", found, tests, host=host, pool=pool)

    @method("CheckVmConfig_Task")
    def check_config(
        self,
        call: Call,
        spec: Any,
        vm: Any = None,
        host: Any = None,
        pool: Any = None,
        testType: list[str] | None = None,  # noqa: N803 - WSDL's name
    ) -> Any:
        """Tell whether a host could ever run what a specification leads to, were it empty."""
        del testType
        found = self.inventory.vm(vm) if vm is not None else None

        def candidate(host: Host) -> Candidate:
            config = (
                reconfigure.applied(found.config, spec, running=found.on)
                if found
                else from_nothing(host, spec)
            )
            return Candidate(config.name, config)

        def tests(host: Host) -> Iterator[Test]:
            return _suits(lambda: candidate(host), host)

        return self._answer(call, "CheckVmConfig_Task", found, tests, host=host, pool=pool)

    @method("CheckPowerOn_Task")
    def check_power_on(
        self,
        call: Call,
        vm: Any,
        host: Any = None,
        pool: Any = None,
        testType: list[str] | None = None,  # noqa: N803 - WSDL's name
    ) -> Any:
        """Tell what would keep `PowerOnVM_Task` from powering this VM on now."""
        del testType
        found = self.inventory.vm(vm)

        def tests(host: Host) -> Iterator[Test]:
            yield found.require_startable
            yield lambda: admission.admit(found, host)

        # Unlike the other checks, this one never infers where (API reference, parameter `host`).
        return self._answer(
            call, "CheckPowerOn_Task", found, tests, host=host, pool=pool, inferred=False
        )


def _suits(vm: Callable[[], admission.Runnable], host: Host) -> Iterator[Test]:
    """Yield what is tested of a configuration, which may itself be impossible."""
    yield lambda: require_supported(vm(), host)
    yield lambda: require_network(vm(), host)


def require_supported(vm: admission.Runnable, host: Host) -> None:
    """Make sure that a host could run this if nothing else ran on it.

    Raises:
        vmodl.MethodFault: It is away, lacks a datastore or a card, or is too old.
    """
    config = vm.config
    admission.require_available(vm, host)
    newest = limits.newest_hardware(host.world.settings.api_version)
    if config.hardware > newest:
        raise faults.refuse(
            vim.fault.VirtualHardwareVersionNotSupported,
            f"Host {host.name} runs hardware versions up to vmx-{newest}, {vm.name} has "
            f"{config.version}.",
            hostName=host.name,
            host=host.ref,
        )
    clone.check_datastore(config.datastore, host)
    admission.fit(vm, host, [replace(card, holds=[]) for card in host.cards])


def require_network(vm: admission.Runnable, host: Host) -> None:
    """Make sure that a host has the network of a VM that is off.

    Raises:
        vim.fault.CannotAccessNetwork: It has not; no hindrance to a VM that is off.
    """
    network = vm.config.network
    if network not in host.networks:
        raise faults.refuse(
            vim.fault.CannotAccessNetwork,
            f"Network '{network.name}' is not accessible from host {host.name}.",
            device="Network adapter 1",
            backing=network.name,
            connected=False,
            network=network.ref,
        )


def from_nothing(host: Host, spec: Any) -> VmConfig:
    """Return the configuration of a new VM that has no place yet.

    Raises:
        vmodl.fault.InvalidArgument: It has no disk, or a device has the key 0.
        vmodl.MethodFault: A value makes no sense.
    """
    named = copy(spec)
    named.name = spec.name or "new VM"
    devices = [change.device for change in spec.deviceChange or ()]
    if not any(isinstance(device, vim.vm.device.VirtualDisk) for device in devices):
        raise faults.invalid_argument("configSpec.deviceChange", "A new VM needs a disk.")
    if not all(device.key for device in devices):
        raise faults.invalid_argument("configSpec.deviceChange", "A device key must not be 0.")
    cluster = host.cluster
    place = clone.Place(cluster.datacenter.vm_folder, host, cluster.pool, host.datastores[0])
    return clone.new_config(place, named)
