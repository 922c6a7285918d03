"""What a lab looks like in vCenter now, machine by machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from provision.apply.pipeline import gpus_wanted, has_gpus
from provision.plan.devices import devices_text, request_text
from provision.plan.identity import instance_uuid
from provision.plan.snapshot import STAMP_SPEC, Host, Power, Snapshot, Vm
from provision.spec.model import Lab, Machine


class State(StrEnum):
    """Where a machine stands."""

    ABSENT = "absent"
    UNFINISHED = "unfinished"
    DRIFTED = "drifted"
    OFF = "off"
    SUSPENDED = "suspended"
    STARTING = "starting"
    ON = "on"
    SURPLUS = "surplus"


@dataclass(frozen=True, slots=True)
class Row:
    """One machine. `surplus` is a VM of the lab that its file does not ask for any more.

    Attributes:
        gpu: What the VM has, or what it shall have where there is none yet.
        guest: What the guest says, such as `running`, or the question that the VM waits on.
    """

    machine: str
    state: State
    vm_id: str | None = None
    path: str | None = None
    host: str | None = None
    gpu: str = ""
    address: str | None = None
    guest: str = ""


def status(lab: Lab, snapshot: Snapshot) -> tuple[Row, ...]:
    """Return a row per machine in the order of the lab file, then the surplus VMs by name."""
    vms = {vm.instance_uuid: vm for vm in snapshot.vms if vm.lab == lab.lab}
    hosts = {host.id: host for host in snapshot.hosts}
    rows = []
    for machine in lab.resolve():
        uuid = instance_uuid(snapshot.vcenter.instance_uuid, lab.lab, machine.name)
        rows.append(_row(machine, vms.pop(uuid, None), hosts))
    surplus = sorted(vms.values(), key=lambda vm: (vm.machine or vm.name, vm.path))
    rows += [_found(vm.machine or vm.name, State.SURPLUS, vm, hosts) for vm in surplus]
    return tuple(rows)


def _row(machine: Machine, vm: Vm | None, hosts: Mapping[str, Host]) -> Row:
    if vm is None:
        return Row(machine.name, State.ABSENT, gpu=request_text(machine.gpu) if machine.gpu else "")
    return _found(machine.name, _state(machine, vm), vm, hosts)


def _found(name: str, state: State, vm: Vm, hosts: Mapping[str, Host]) -> Row:
    host = hosts.get(vm.host_id or "")
    return Row(
        machine=name,
        state=state,
        vm_id=vm.id,
        path=vm.path,
        host=host.name if host else None,
        gpu=devices_text(vm.gpus, host.cards if host else ()),
        address=next(iter(vm.addresses), None),
        guest=_guest(vm),
    )


def _state(machine: Machine, vm: Vm) -> State:
    if vm.stamps.get(STAMP_SPEC) != machine.digest:
        return State.DRIFTED
    if has_gpus(vm) < gpus_wanted(machine.gpu):
        return State.UNFINISHED
    if vm.power is Power.ON:
        return State.ON if vm.tools_running and vm.addresses else State.STARTING
    return State.SUSPENDED if vm.power is Power.SUSPENDED else State.OFF


def _guest(vm: Vm) -> str:
    if vm.question:
        return f"waits for an answer: {vm.question}"
    if vm.power is not Power.ON:
        return ""
    return "running" if vm.tools_running else "no tools yet"
