"""Waits for VMs, which nobody's task of this session may be about: guests, and clones of others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from provision.deadline import Deadline
from provision.vsphere import guest, vm_reader
from provision.vsphere.facts import Facts
from provision.vsphere.port import ActionFailed, GuestReport
from provision.vsphere.waiter import Values, Waiter

# How long after its address a guest may take to publish its host keys: cloud-init does it at
# the end of its last stage.
KEYS_SECONDS = 300.0


class Waits:
    """Waits for what VMs show. Safe for any number of threads.

    Args:
        waiter: The session's waiter.
        facts: Reads what messages have to name.
        simulated: Whether the vCenter is a simulated one, whose guests may be at loopback.
    """

    def __init__(self, waiter: Waiter, facts: Facts, *, simulated: bool) -> None:
        self._waiter, self._facts, self._simulated = waiter, facts, simulated

    def for_guest(self, vm: Any, deadline: Deadline) -> GuestReport:
        """Return what a guest says once tools run, it has an address and has published its keys.

        A guest that has an address and publishes no keys is reported without.

        Raises:
            ActionFailed: It is not reachable at the deadline.
        """
        found, values = self._waiter.wait_vm(vm, self._reachable, deadline)
        told = guest.report(values, simulated=self._simulated)
        if not found or not told.addresses:
            raise ActionFailed(
                "the guest is not reachable",
                subject=self._facts.name(vm),
                why=_unreachable(values),
                fix="look at its console; when it has an address, run the same command again",
            )
        if told.host_keys or (self._simulated and guest.nowhere(told.addresses)):
            return told
        keys_by = Deadline.after(min(KEYS_SECONDS, deadline.left))
        _, values = self._waiter.wait_vm(vm, self._has_keys, keys_by)
        later = guest.report(values, simulated=self._simulated)
        return later if later.addresses else told

    def until_made(self, vms: Iterable[Any], deadline: Deadline) -> None:
        """Wait until each VM has a configuration or is gone, at most until the deadline."""
        for vm in vms:
            self._waiter.wait_vm(vm, _made, deadline)

    def _reachable(self, values: Values) -> bool:
        told = guest.report(values, simulated=self._simulated)
        return bool(told.addresses) or values.get("runtime.powerState") == "poweredOff"

    def _has_keys(self, values: Values) -> bool:
        return bool(guest.report(values, simulated=self._simulated).host_keys)


def _made(values: Values) -> bool:
    """Whether a VM is more than a name: vCenter tells its configuration when it is there."""
    return bool(values.get("config.instanceUuid"))


def _unreachable(values: Mapping[str, Any]) -> str:
    """Say what a guest lacks that can't be reached."""
    if not values:
        return "the VM no longer exists"
    if values.get("runtime.powerState") == "poweredOff":
        return "the VM is powered off"
    question = values.get("runtime.question")
    if question is not None:
        return f"the VM waits for an answer to: {question.text}"
    if values.get("guest.toolsRunningStatus") != "guestToolsRunning":
        return "VMware Tools do not run in it"
    seen = vm_reader.addresses(values.get("guest.net"), values.get("guest.ipAddress"))
    return f"none of its addresses leads to it: {', '.join(seen)}" if seen else "it has no address"
