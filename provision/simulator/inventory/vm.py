"""Virtual machines and templates: what can be done with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from provision.simulator.engine.objects import method
from provision.simulator.engine.tasks import SimTask
from provision.simulator.inventory import (
    admission,
    clone,
    faults,
    permission,
    reconfigure,
    relocate,
)
from provision.simulator.inventory.guest import SHUTDOWN_SECONDS
from provision.simulator.inventory.vmview import VmView

if TYPE_CHECKING:
    from provision.simulator.engine.call import Call
    from provision.simulator.inventory.host import Host


class VirtualMachine(VmView):
    """A VM or a template."""

    @method("PowerOnVM_Task")
    def power_on(self, call: Call, host: Any = None) -> Any:
        """Power on, on the given host or on the one where the VM is registered."""
        target = self.inventory.host(host) if host is not None else self.host
        if self.config.question is not None and not self.on:
            # The task waits for AnswerVM, as long as that takes.
            call.effects = replace(call.effects, hang=True)
        ref = self.exclusive(
            call, "PowerOnVM_Task", lambda: self.start_on(target), begin=self._begin_power_on
        )
        if self.question is not None:
            self.waiting = ref._moId  # noqa: SLF001 - pyVmomi documents it as public
        return ref

    def require_startable(self) -> None:
        """Make sure that it is off and no template.

        Raises:
            vim.fault.InvalidPowerState: It runs.
            vmodl.fault.NotSupported: It is a template.
        """
        self.require_power("poweredOff", "suspended", requested="poweredOn")
        if self.config.template:
            raise faults.unsupported(f"{self.name} is a template and can't be powered on.")

    def _begin_power_on(self) -> None:
        self.require_startable()
        if self.config.question is not None:
            self.question = self.config.question
            self.touch()

    @method("AnswerVM")
    def answer(self, _: Call, questionId: str, answerChoice: str) -> None:  # noqa: N803 - WSDL's names
        """Answer the question that the VM waits on: "0" goes on, anything else gives up."""
        if self.question is None or questionId != f"question-{self.moid}":
            raise faults.invalid_argument("questionId", f"{self.name} waits on no such question.")
        self.question = self.config.question = None
        task = self.world.get(self.waiting or "")
        if isinstance(task, SimTask):
            if answerChoice == "0":
                task.finish()
            else:
                task.fail(faults.vm_config(f"{self.name} was not powered on: answered with No."))
        self.touch()

    def start_on(self, host: Host) -> None:
        """Power on.

        Raises:
            vmodl.MethodFault: The host does not run this VM now.
        """
        self.require_power("poweredOff", "suspended", requested="poweredOn")
        grants = admission.admit(self, host)
        self.move_to_host(host)
        self.start_with(grants)

    def start_with(self, grants: list[admission.Grant]) -> None:
        """Run with these cards."""
        admission.hold(self, grants)
        self._set_power("poweredOn")
        self.boot_time = self.world.clock.now()
        self.guest.boot(self.lose_power)

    def lose_power(self) -> None:
        """Power off at once; the cards are free again."""
        admission.release(self, self.host)
        self.boot_time = None
        self.guest.end()
        self._set_power("poweredOff")

    def _set_power(self, state: str) -> None:
        self.power = state
        self.config.running = state == "poweredOn"
        self.touch()
        self.host.touch()

    def require_power(self, *allowed: str, requested: str) -> None:
        """Make sure that the VM is in one of these power states.

        Raises:
            vim.fault.InvalidPowerState: It is not.
        """
        if self.power not in allowed:
            raise faults.power_state(self.power, requested)

    @method("PowerOffVM_Task")
    def power_off(self, call: Call) -> Any:
        """Take the power away."""

        def check() -> None:
            self.require_power("poweredOn", "suspended", requested="poweredOff")

        return self.exclusive(call, "PowerOffVM_Task", self.lose_power, begin=check)

    @method("ResetVM_Task")
    def reset(self, call: Call) -> Any:
        """Restart without asking the guest."""
        return self.exclusive(
            call, "ResetVM_Task", self._restart, begin=lambda: self._require_on("poweredOn")
        )

    def _require_on(self, requested: str) -> None:
        self.require_power("poweredOn", requested=requested)

    def _restart(self) -> None:
        self.guest.end()
        self.guest.boot(self.lose_power)
        self.touch()

    @method("SuspendVM_Task")
    def suspend(self, call: Call) -> Any:
        """Suspend; a VM with a passthrough card can't be."""

        def check() -> None:
            self._require_on("suspended")
            self.require_no_passthrough("suspended")

        def work() -> None:
            admission.release(self, self.host)
            self.guest.end()
            self._set_power("suspended")

        return self.exclusive(call, "SuspendVM_Task", work, begin=check)

    def require_no_passthrough(self, action: str) -> None:
        """Refuse what DirectPath I/O rules out (vSphere documentation, DirectPath I/O).

        Raises:
            vmodl.fault.NotSupported: The VM has a passthrough device.
        """
        if self.config.gpus:
            raise faults.unsupported(
                f"{self.name} has PCI passthrough devices and can't be {action}."
            )

    @method("ShutdownGuest")
    def shut_down_guest(self, _: Call) -> None:
        """Ask the guest to shut down; it takes a moment."""
        self._require_tools("poweredOff")
        if not self.config.stubborn:
            self._later(self._shut_down)

    @method("RebootGuest")
    def reboot_guest(self, _: Call) -> None:
        """Ask the guest to restart; it takes a moment."""
        self._require_tools("poweredOn")
        if not self.config.stubborn:
            self._later(self._reboot)

    def _shut_down(self) -> None:
        # A guest with an operating system ends it first, and the VM goes off by itself.
        if not self.inventory.guests.shut_down(self.moid):
            self.lose_power()

    def _reboot(self) -> None:
        if not self.inventory.guests.restart(self.moid):
            self._restart()

    def _require_tools(self, requested: str) -> None:
        self._require_on(requested)
        if not self.guest.up:
            raise faults.refuse(
                vim.fault.ToolsUnavailable,
                f"VMware Tools do not run in virtual machine {self.name}.",
            )

    def _later(self, action: Callable[[], None]) -> None:
        boot = self.boot_time

        def act() -> None:
            if self.on and self.boot_time == boot:
                action()

        self.world.later(SHUTDOWN_SECONDS, act)

    @method("ReconfigVM_Task")
    def reconfigure(self, call: Call, spec: Any) -> Any:
        """Change the configuration."""
        permission.require(call, permission.for_config(self.config, spec, self))
        return self.exclusive(call, "ReconfigVM_Task", lambda: reconfigure.reconfigure(self, spec))

    @method("UpgradeVM_Task")
    def upgrade(self, call: Call, version: str | None = None) -> Any:
        """Upgrade the hardware version."""

        def work() -> None:
            self.require_power("poweredOff", requested="poweredOff")
            self.config.upgrade(version, self.world.settings.api_version)
            self.config.changes += 1
            self.touch()

        return self.exclusive(call, "UpgradeVM_Task", work)

    @method("CloneVM_Task")
    def clone(self, call: Call, folder: Any, name: str, spec: Any) -> Any:
        """Make a copy of this VM or template."""
        target = self.inventory.folder(folder)
        permission.require(call, permission.for_clone(self, target, spec))
        return clone.clone(call, self, target, name, spec)

    @method("RelocateVM_Task")
    def relocate(self, call: Call, spec: Any, priority: Any = None) -> Any:
        """Move to another host, pool, datastore or folder."""
        del priority
        permission.require(call, permission.for_relocation(self, spec))
        return self.exclusive(call, "RelocateVM_Task", lambda: relocate.relocate(self, spec))

    @method("MarkAsTemplate")
    def mark_as_template(self, _: Call) -> None:
        """Turn the VM into a template."""
        self.require_power("poweredOff", requested="poweredOff")
        self.config.template = True
        self.move_to_pool(None)
        self.touch()

    @method("MarkAsVirtualMachine")
    def mark_as_vm(self, _: Call, pool: Any, host: Any = None) -> None:
        """Turn the template into a VM."""
        if not self.config.template:
            raise faults.unsupported(f"{self.name} is no template.")
        found = self.inventory.pool(pool)
        target = self.inventory.host(host) if host is not None else found.cluster.hosts[0]
        self.config.template = False
        self.move_to_host(target)
        self.move_to_pool(found)
        self.touch()

    @method("CreateSnapshot_Task")
    def snapshot(
        self,
        call: Call,
        name: str,
        memory: bool,  # noqa: FBT001 - WSDL's parameter
        quiesce: bool,  # noqa: FBT001 - WSDL's parameter
        description: str | None = None,
    ) -> Any:
        """Refuse: a GPU rules snapshots out, and the simulator keeps none of other VMs."""
        del name, memory, quiesce, description

        def work() -> None:
            if self.config.gpus:
                message = f"{self.name} has devices that can't be in a snapshot."
                fault = faults.unsupported(message)
                kind = vim.fault.SnapshotIncompatibleDeviceInVm
                raise faults.refuse(kind, message, fault=fault)
            raise faults.unsupported("The simulator keeps no snapshots.")

        return self.exclusive(call, "CreateSnapshot_Task", work)

    @method("UnregisterVM")
    def unregister(self, _: Call) -> None:
        """Forget the VM and leave its files where they are."""
        self.require_power("poweredOff", requested="poweredOff")
        self.vanish()

    @method("Destroy_Task")
    def destroy_task(self, call: Call) -> Any:
        """Delete the VM with its disks."""
        permission.require(call, permission.of_kind(permission.DELETING, self))
        return self.exclusive(call, "Destroy_Task", self.destroy)

    def destroy(self) -> None:
        """Delete the VM with its disks.

        Raises:
            vim.fault.InvalidPowerState: It is not powered off.
        """
        self.require_power("poweredOff", requested="poweredOff")
        self.config.datastore.take(-self.config.disks_size)
        self.vanish()

    def vanish(self) -> None:
        """Take the VM out of the inventory."""
        if (folder := self.folder) is not None:
            folder.forget(self)
        self.move_to_pool(None)
        self.host.vms.pop(self.moid, None)
        self.host.touch()
        self.config.datastore.vms.pop(self.moid, None)
        self.config.network.vms.pop(self.moid, None)
        self.inventory.forget_vm(self)
        self.guest.end()
        self.world.remove(self)

    def move_to_host(self, host: Host) -> None:
        """Register the VM on another host."""
        if host is not self.host:
            self.host.vms.pop(self.moid, None)
            self.host.touch()
            self.host = host
            host.vms[self.moid] = self
            host.touch()
            self.touch()
