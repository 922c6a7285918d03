"""What `apply` needs of a vCenter. `provision.vsphere.vcenter.VCenter` is the real one.

Every method blocks until its task has ended or its deadline has passed. None of them ever
sends a mutating call twice: when the outcome of a call is not known (a lost response, a
connection that died, a task that expired), the method looks at the VM, by instance UUID, and
reports what it finds; if it can't find out before the deadline it raises `OutcomeUnknown`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from provision.deadline import Deadline
from provision.errors import VdlError
from provision.plan.model import Action, Plan
from provision.plan.snapshot import Snapshot, Vm
from provision.spec.model import Lab


class ActionFailed(VdlError):
    """vCenter refused or failed a task. `why` holds vCenter's own words.

    `fault` is the name of the fault type without its package, such as `DuplicateName` or
    `NoDiskSpace`; None where the failure was no fault of vCenter's.
    """

    def __init__(
        self,
        what: str,
        *,
        subject: str | None = None,
        why: str | None = None,
        fix: str | None = None,
        fault: str | None = None,
    ) -> None:
        super().__init__(what, subject=subject, why=why, fix=fix)
        self.fault = fault


class OutcomeUnknown(VdlError):
    """The deadline passed before the outcome of a task was known."""


@dataclass(frozen=True, slots=True)
class GuestReport:
    """What a powered-on guest says of itself: usable addresses and published SSH host keys."""

    addresses: tuple[str, ...]
    host_keys: tuple[str, ...]
    ssh_port: int = 22


class PlanChecker(Protocol):
    """The vCenter as whoever shows a plan sees it."""

    def snapshot(self, lab: Lab) -> Snapshot:
        """Read the world that plans for `lab` depend on."""

    def checked(self, plan: Plan) -> Plan:
        """Return the plan with what vCenter's own checks say of it as findings."""


class Port(Protocol):
    """The vCenter as `apply` sees it. Raises `ActionFailed` or `OutcomeUnknown`."""

    def snapshot(self, lab: Lab) -> Snapshot:
        """Read the world that plans for `lab` depend on."""

    def find_vm(self, instance_uuid: str) -> Vm | None:
        """Return the VM with this instance UUID, whatever its name and folder.

        Raises:
            ActionFailed: Several VMs have it.
        """

    def clone(self, plan: Plan, action: Action, deadline: Deadline) -> str:
        """Clone the template with everything the call can carry; return the id of the VM.

        The clone carries stamps, instance UUID, CPUs, memory, derived settings, guestinfo and
        the network from the call on; it is left powered off and without GPUs.
        """

    def prepare_hardware(self, vm_id: str, action: Action, deadline: Deadline) -> None:
        """Upgrade the hardware version where the GPU mode needs a newer one."""

    def attach(self, vm_id: str, action: Action, deadline: Deadline) -> None:
        """Add the GPU devices that the action asks for, and the disk's size where it differs."""

    def reconfigure(self, vm_id: str, action: Action, deadline: Deadline) -> None:
        """Bring CPUs, memory, GPUs and settings of an existing VM to its spec."""

    def relocate(self, vm_id: str, action: Action, deadline: Deadline) -> None:
        """Move a VM that is off to the action's host; its disks stay where they are."""

    def power_on(self, vm_id: str, deadline: Deadline) -> None:
        """Power the VM on."""

    def wait_for_guest(self, vm_id: str, deadline: Deadline) -> GuestReport:
        """Wait for tools, a usable address and the host keys that the guest publishes."""

    def wait_until_made(self, vm_ids: Iterable[str], deadline: Deadline) -> None:
        """Wait until no task is making these VMs any more, whatever came of it."""

    def shut_down(self, vm_id: str, deadline: Deadline) -> None:
        """Ask the guest to shut down; at the deadline, power the VM off."""

    def destroy(self, vm_id: str, deadline: Deadline) -> None:
        """Delete a powered-off VM with its disks. A VM that is already gone is success."""
