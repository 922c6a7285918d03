"""Which event tells of which task, and what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.inventory.entity import Entity

if TYPE_CHECKING:
    from provision.simulator.inventory.host import Host
    from provision.simulator.inventory.inventory import Inventory
    from provision.simulator.inventory.vm import VirtualMachine

_event = vim.event
# The tasks on VMs and hosts that have an event of their own when they succeed, and its message.
_OF_VMS: dict[str, tuple[Any, str]] = {
    "PowerOnVM_Task": (_event.VmPoweredOnEvent, "{vm} was powered on, on {host} in {datacenter}"),
    "PowerOffVM_Task": (_event.VmPoweredOffEvent, "{vm} was powered off, on {host}"),
    "SuspendVM_Task": (_event.VmSuspendedEvent, "{vm} was suspended, on {host}"),
    "ResetVM_Task": (_event.VmResettingEvent, "{vm} was reset, on {host}"),
    "ReconfigVM_Task": (_event.VmReconfiguredEvent, "{vm} was reconfigured, on {host}"),
    "Destroy_Task": (_event.VmRemovedEvent, "{vm} was removed from {host} in {datacenter}"),
    "CloneVM_Task": (_event.VmClonedEvent, "{vm} was cloned from {source}, to {host}"),
    "CreateVM_Task": (_event.VmCreatedEvent, "{vm} was created on {host} in {datacenter}"),
}
_OF_HOSTS: dict[str, tuple[Any, str]] = {
    "EnterMaintenanceMode_Task": (
        _event.EnteredMaintenanceModeEvent,
        "{host} in {datacenter} has entered maintenance mode",
    ),
    "ExitMaintenanceMode_Task": (
        _event.ExitMaintenanceModeEvent,
        "{host} in {datacenter} has left maintenance mode",
    ),
}
# Every other task, and every one that failed.
_OF_TASKS = _event.TaskEvent
CATEGORIES: dict[Any, str] = {
    **{kind: "info" for kind, _ in (*_OF_VMS.values(), *_OF_HOSTS.values())},
    _OF_TASKS: "info",
}


def describe(kind: Any, category: str) -> Any:
    """Return the description of a kind of event."""
    texts = dict((*_OF_VMS.values(), *_OF_HOSTS.values()))
    text = texts.get(kind, "Task: {task}")
    return _event.EventDescription.EventDetail(
        key=kind,
        category=category,
        formatOnDatacenter=text,
        formatOnComputeResource=text,
        formatOnHost=text,
        formatOnVm=text,
        fullFormat=text,
    )


def make(info: Any, target: Entity, inventory: Inventory) -> tuple[Any, list[Entity]]:
    """Return the event that tells of a task, without its key, and what it is about.

    Args:
        info: The task, which has ended.
        target: What it was called on.
        inventory: Where a clone's VM is looked up.
    """
    name, done = info.name.info.wsdlName, info.state == "success"
    made = inventory.vms.get(info.result._moId) if done and _is_vm(info.result) else None  # noqa: SLF001
    host = inventory.hosts.get(target.moid)
    if done and name in _OF_VMS and (vm := made or _as_vm(target)) is not None:
        return _of_vm(name, info, vm, target), [vm, target] if made else [vm]
    if done and name in _OF_HOSTS and host is not None:
        kind, text = _OF_HOSTS[name]
        return _new(kind, info, text, host, {}), [host]
    text = f"Task: {info.descriptionId} of {info.entityName}"
    if info.error is not None:
        text += f" failed: {info.error.msg}"
    return _base(_OF_TASKS, info, text, {"info": info}), [target]


def _as_vm(target: Entity) -> VirtualMachine | None:
    """Return the target if it is a VM, also one that is not in the inventory any more."""
    from provision.simulator.inventory.vm import VirtualMachine  # noqa: PLC0415 - imports this room

    return target if isinstance(target, VirtualMachine) else None


def _is_vm(result: Any) -> bool:
    return isinstance(result, vim.VirtualMachine)


def _of_vm(name: str, info: Any, vm: VirtualMachine, source: Entity) -> Any:
    kind, text = _OF_VMS[name]
    values: dict[str, Any] = {
        "vm": _event.VmEventArgument(name=vm.name, vm=vm.ref),
        "template": vm.config.template,
    }
    if kind is _event.VmReconfiguredEvent:
        values["configSpec"] = vim.vm.ConfigSpec()
    if kind is _event.VmClonedEvent:
        values["sourceVm"] = _event.VmEventArgument(name=source.name, vm=source.ref)
    text = text.replace("{vm}", vm.name).replace("{source}", source.name)
    return _new(kind, info, text, vm.host, values)


def _new(kind: Any, info: Any, text: str, host: Host, values: dict[str, Any]) -> Any:
    """Return an event that happened on a host."""
    cluster, datacenter = host.cluster, host.cluster.datacenter
    places = {
        "host": _event.HostEventArgument(name=host.name, host=host.ref),
        "computeResource": _event.ComputeResourceEventArgument(
            name=cluster.name, computeResource=cluster.ref
        ),
        "datacenter": _event.DatacenterEventArgument(
            name=datacenter.name, datacenter=datacenter.ref
        ),
    }
    text = text.replace("{host}", host.name).replace("{datacenter}", datacenter.name)
    return _base(kind, info, text, {**places, **values})


def _base(kind: Any, info: Any, text: str, values: dict[str, Any]) -> Any:
    return kind(
        key=0,
        chainId=info.eventChainId,
        createdTime=info.completeTime,
        userName=info.reason.userName,
        fullFormattedMessage=text,
        **values,
    )
