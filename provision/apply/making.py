"""Machines that vCenter is making when a run begins: an earlier run was killed, or another runs."""

from __future__ import annotations

from collections.abc import Callable

from provision.apply.deadlines import Deadlines
from provision.deadline import Deadline
from provision.plan.names import listed
from provision.plan.ownership import in_the_making
from provision.plan.snapshot import Snapshot
from provision.spec.model import Lab
from provision.vsphere.port import Port


def settled_snapshot(
    lab: Lab, port: Port, tell: Callable[[str], None], deadlines: Deadlines | None = None
) -> Snapshot:
    """Read the world once vCenter makes no machine of the lab any more.

    A clone goes on in vCenter when the run that began it has ended. Only its name is known until
    then: neither whose it is nor what it lacks, so that nothing can be planned about it.

    Args:
        lab: The lab.
        port: The vCenter.
        tell: Called with what is waited for.
        deadlines: As long as a clone may take, so long may this; then the plan says what is left.
    """
    limit = (deadlines or Deadlines()).clone
    deadline = Deadline.after(limit)
    told: set[str] = set()
    while True:
        snapshot = port.snapshot(lab)
        making = in_the_making(lab.resolve(), snapshot)
        if not making or deadline.passed:
            return snapshot
        names = {vm.name for vm in making}
        if names - told:
            whose = "an earlier or another run has begun it"
            tell(
                f"{listed(sorted(names))}: vCenter is making it, {whose}; waits up to {limit:.0f} s"
            )
            told |= names
        port.wait_until_made([vm.id for vm in making], deadline)
