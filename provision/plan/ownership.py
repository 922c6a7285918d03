"""Which VM is which machine: by stamps and instance UUID, never by name.

A VM is a machine of the lab if it carries the machine's stamps and the instance UUID that
follows from them. One with the stamps and another UUID is a copy that someone made: its owner
is unknown, so it is neither adopted nor deleted, and it keeps vdl from guessing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from provision.plan.identity import instance_uuid
from provision.plan.model import Finding, Severity
from provision.plan.names import listed
from provision.plan.snapshot import Snapshot, Vm
from provision.spec.model import Lab, Machine


@dataclass(frozen=True, slots=True)
class Ownership:
    """The lab's VMs.

    Attributes:
        vms: The VM of each machine that has one, by the machine's name.
        surplus: VMs of the lab that its file does not ask for any more, by machine name.
        unclear: Names of machines for which something in the way must be cleared up first.
        findings: What is in the way.
    """

    vms: dict[str, Vm]
    surplus: tuple[Vm, ...]
    unclear: frozenset[str]
    findings: tuple[Finding, ...]


def ownership(lab: Lab, machines: Sequence[Machine], snapshot: Snapshot) -> Ownership:
    """Find the VM of every machine, and what keeps vdl from being sure."""
    vcenter = snapshot.vcenter.instance_uuid
    wanted = {machine.name: instance_uuid(vcenter, lab.lab, machine.name) for machine in machines}
    index = _Index.of(lab.lab, snapshot)
    vms: dict[str, Vm] = {}
    findings: list[Finding] = []
    unclear: set[str] = set()
    for name, uuid in wanted.items():
        problem = index.problem(name, uuid)
        if problem is not None:
            findings.append(problem)
            unclear.add(name)
        if originals := index.originals(name, uuid):
            vms[name] = originals[0]
        elif stranger := index.stranger(name, uuid):
            findings.append(stranger)
    surplus = [
        vm
        for name, stamped in index.stamped.items()
        if name not in wanted
        for vm in stamped
        if vm.instance_uuid == instance_uuid(vcenter, lab.lab, name)
    ]
    surplus.sort(key=lambda vm: (vm.machine or "", vm.path))
    return Ownership(vms, tuple(surplus), frozenset(unclear), tuple(findings))


def in_the_making(machines: Sequence[Machine], snapshot: Snapshot) -> tuple[Vm, ...]:
    """Return the VMs with a machine's name of which vCenter tells nothing but the name.

    It shows a VM by its name as soon as a task begins to make it, and tells nothing else of it
    until the task has ended.
    """
    names = {machine.name for machine in machines}
    return tuple(vm for vm in snapshot.vms if vm.name in names and not vm.instance_uuid)


@dataclass(frozen=True, slots=True)
class _Index:
    stamped: dict[str, list[Vm]]
    by_name: dict[str, list[Vm]]
    by_uuid: dict[str, list[Vm]]

    @classmethod
    def of(cls, lab: str, snapshot: Snapshot) -> _Index:
        stamped, by_name, by_uuid = defaultdict(list), defaultdict(list), defaultdict(list)
        for vm in snapshot.vms:
            by_name[vm.name].append(vm)
            by_uuid[vm.instance_uuid].append(vm)
            # Without a UUID it was being made when all VMs were looked at; that a closer look shows
            # stamps means that it is made by now, and nothing more.
            if vm.lab == lab and vm.machine and vm.instance_uuid:
                stamped[vm.machine].append(vm)
        return cls(stamped, by_name, by_uuid)

    def originals(self, name: str, uuid: str) -> list[Vm]:
        return [vm for vm in self.stamped.get(name, ()) if vm.instance_uuid == uuid]

    def problem(self, name: str, uuid: str) -> Finding | None:
        """Return why nobody can say which VM the machine is."""
        stamped = self.stamped.get(name, [])
        if len(stamped) > 1:
            message = f"{len(stamped)} VMs carry this machine's stamps: {_paths(stamped)}"
            return _error("vm-ambiguous", name, message, _KEEP_ONE)
        if stamped and stamped[0].instance_uuid != uuid:
            message = f"{stamped[0].path} carries this machine's stamps but not its instance UUID"
            return _error("vm-ambiguous", name, message, _COPY)
        strangers = [vm for vm in self.by_uuid.get(uuid, ()) if vm not in stamped]
        if strangers:
            message = f"{_paths(strangers)} has this machine's instance UUID but not its stamps"
            return _error("name-taken", name, message, _STRANGER)
        return None

    def stranger(self, name: str, uuid: str) -> Finding | None:
        """Return the VM of someone else that has the name of a machine which has no VM yet."""
        mine = self.stamped.get(name, [])
        others = [
            vm for vm in self.by_name.get(name, ()) if vm not in mine and vm.instance_uuid != uuid
        ]
        if not others:
            return None
        if not any(vm.instance_uuid for vm in others):
            message = f"{_paths(others)} is being made right now, perhaps by an earlier run"
            return _error("name-taken", name, message, _BEING_MADE)
        message = f"the name belongs to {_paths(others)}, which is not this lab's"
        return _error("name-taken", name, message, _STRANGER)


_KEEP_ONE = "keep one and remove the vdl.* configuration parameters of the others, or delete them"
_COPY = (
    "it was copied or restored: remove its vdl.* configuration parameters, or delete it; "
    "vdl leaves it alone"
)
_BEING_MADE = "wait until that task has ended, then run the same command again"
_STRANGER = (
    "rename that VM or give the lab another name; vdl never touches a VM that it did not make"
)


def _paths(vms: Sequence[Vm]) -> str:
    return listed(sorted(vm.path for vm in vms))


def _error(code: str, subject: str, message: str, fix: str) -> Finding:
    return Finding(Severity.ERROR, code, subject, message, fix)
