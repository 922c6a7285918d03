"""Taking a lab away: what will go, and making it go."""

from __future__ import annotations

from provision.apply.result import Result
from provision.apply.runner import Options, Runner
from provision.plan.identity import instance_uuid
from provision.plan.model import Action, ActionKind, Plan
from provision.plan.snapshot import Snapshot, Vm
from provision.vsphere.port import Port


def destroy_plan(lab_name: str, snapshot: Snapshot) -> tuple[Vm, ...]:
    """Return the VMs of the lab, whatever their names and folders are now, by path.

    A VM is the lab's if it carries the lab's stamps and the instance UUID that follows from
    them: a copy that someone made of such a VM carries the stamps too, but is a stranger.
    """
    mine = (vm for vm in snapshot.vms if vm.lab == lab_name and _is_original(vm, snapshot))
    return tuple(sorted(mine, key=lambda vm: vm.path))


def copies(lab_name: str, snapshot: Snapshot) -> tuple[Vm, ...]:
    """Return the VMs that carry the lab's stamps but are copies: they are left alone."""
    found = (vm for vm in snapshot.vms if vm.lab == lab_name and not _is_original(vm, snapshot))
    return tuple(sorted(found, key=lambda vm: vm.path))


def _is_original(vm: Vm, snapshot: Snapshot) -> bool:
    uuid = instance_uuid(snapshot.vcenter.instance_uuid, vm.lab or "", vm.machine or "")
    return vm.instance_uuid == uuid


def destroy(
    lab_name: str, vms: tuple[Vm, ...], port: Port, *, options: Options | None = None
) -> Result:
    """Shut the VMs down, power off those that don't, and delete them with their disks.

    Each VM is looked at again right before it is touched: one that is gone is a success, one
    that has lost its stamps is left alone and reported.

    Args:
        lab_name: The lab that must still own each VM.
        vms: What `destroy_plan` returned and the user agreed to.
        port: The vCenter.
        options: How to run.
    """
    actions = tuple(
        Action(ActionKind.DESTROY, vm.machine or vm.name, reason="destroy", vm=vm) for vm in vms
    )
    plan = Plan(lab=lab_name, fingerprint="", actions=actions)
    return Runner(plan, port, "", options or Options()).run()
