"""A real vCenter (or one that behaves like it) behind the port that `apply` works with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Self, TypeVar

from pyVmomi import vim, vmodl

from provision.deadline import Deadline
from provision.errors import VdlError
from provision.plan.identity import instance_uuid
from provision.plan.model import Action, Plan
from provision.plan.preflight import find_network
from provision.plan.snapshot import Snapshot, VCenterIdentity, Vm
from provision.spec.model import GroupRequest, Lab
from provision.vsphere import configspec, snapshot_reader
from provision.vsphere.calls import Call, Calls
from provision.vsphere.checks import Checks
from provision.vsphere.collector import Collector, moid
from provision.vsphere.configspec import Parts
from provision.vsphere.devices import VmConfig
from provision.vsphere.facts import Facts
from provision.vsphere.faults import describe, fault_name, fix_for
from provision.vsphere.folders import Folders
from provision.vsphere.gpuspec import CardFacts
from provision.vsphere.host_actions import HostActions
from provision.vsphere.port import ActionFailed, GuestReport, OutcomeUnknown
from provision.vsphere.retry import within
from provision.vsphere.session import PATIENCE_SECONDS, Session, VCenterAway
from provision.vsphere.settings import ConnectionSettings
from provision.vsphere.tls import ResponseLost
from provision.vsphere.waiter import Values, Waiter
from provision.vsphere.waits import Waits

T = TypeVar("T")

# A VM that did not shut down gets this long to be powered off.
POWER_OFF_SECONDS = 120.0


class VCenter:
    """One connection to a vCenter; implements `provision.vsphere.port.Port`.

    All methods may be called from any thread. Clones, GPUs and folders are worked out from the
    last `snapshot` of their lab, which is therefore read first.

    Raises:
        NoConnection: vCenter can't be reached, its certificate or the login is refused.
    """

    def __init__(self, settings: ConnectionSettings, patience: float = PATIENCE_SECONDS) -> None:
        self._session = Session(settings, patience)
        self._collector = Collector(self._session)
        self._waiter = Waiter(self._session)
        self._calls = Calls(self._session, self._waiter)
        self._facts = Facts(self._session, self._collector)
        self._folders = Folders(self._session, self._collector)
        self._identity = snapshot_reader.identity(self._session)
        self._waits = Waits(self._waiter, self._facts, simulated=self._identity.simulated)
        self._lock = threading.Lock()
        self._snapshots: dict[str, tuple[Lab, Snapshot]] = {}
        self._read_once: dict[tuple[str, ...], Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def identity(self) -> VCenterIdentity:
        """Which vCenter this is."""
        return self._identity

    @property
    def session(self) -> Session:
        """The session, for what the port does not offer."""
        return self._session

    @property
    def hosts(self) -> HostActions:
        """What prepares the hosts of this vCenter."""
        return HostActions(self._session, self._collector, self._waiter, self._calls)

    def close(self) -> None:
        """End the waiter and log out."""
        self._waiter.close()
        self._session.close()

    def snapshot(self, lab: Lab) -> Snapshot:
        """Read the world that plans for `lab` depend on."""
        found = snapshot_reader.read_snapshot(self._session, lab)
        with self._lock:
            self._snapshots[lab.lab] = (lab, found)
            self._read_once.clear()
        return found

    def checked(self, plan: Plan) -> Plan:
        """Return the plan with what vCenter's own checks say of it as findings."""
        return Checks(self._session, self._collector, self._waiter).checked(
            plan, *self._world(plan.lab)
        )

    def vms_of_lab(self, lab: Lab) -> tuple[Vm, ...]:
        """Return the VMs that carry this lab's stamp."""
        return snapshot_reader.read_lab_vms(self._session, lab)

    def find_vm(self, instance_uuid: str) -> Vm | None:
        """Return the VM with this instance UUID, whatever its name and folder.

        Raises:
            ActionFailed: Several VMs have it.
        """
        index = self._session.content.searchIndex
        refs = index.FindAllByUuid(uuid=instance_uuid, vmSearch=True, instanceUuid=True)
        found = [vm for ref in refs or () if (vm := self._facts.vm(ref)) is not None]
        if len(found) > 1:
            raise ActionFailed(
                "several VMs have the same instance UUID",
                subject=instance_uuid,
                why=", ".join(sorted(vm.path for vm in found)),
                fix="remove or re-create the copies; vdl touches none of them",
            )
        return found[0] if found else None

    def clone(self, plan: Plan, action: Action, deadline: Deadline) -> str:
        """Clone the template with everything the call can carry; return the id of the VM."""
        lab, world = self._world(plan.lab)
        uuid = instance_uuid(world.vcenter.instance_uuid, plan.lab, action.machine)
        template = self._ref(vim.VirtualMachine, plan.template_id)
        place = configspec.Place(
            pool=self._ref(vim.ResourcePool, world.resource_pool_id),
            host=self._ref(vim.HostSystem, action.host_id) if action.host_id else None,
            datastore=self._ref(vim.Datastore, action.datastore_id),
        )
        with within(deadline):
            spec = configspec.clone_spec(
                action, uuid, place, self._template(template), self._network(plan.network_id)
            )
            folder = self._folders.ensure(world.datacenter_id, lab.vcenter.folder)
        call = Call(
            what="the clone failed",
            subject=lambda: action.machine,
            target=template,
            send=lambda: template.CloneVM_Task(folder=folder, name=action.machine, spec=spec),
            outcome=lambda: self._made(uuid),
            context=lambda: f"on {action.host}" if action.host else "",
        )
        return moid(self._calls.carry_out(call, deadline))

    def prepare_hardware(self, vm_id: str, action: Action, deadline: Deadline) -> None:
        """Upgrade the hardware version where the GPU mode needs a newer one."""
        needed = configspec.hardware_needed(configspec.spec_of(action))
        vm = self._ref(vim.VirtualMachine, vm_id)
        with within(deadline):
            if not needed or self._facts.hardware(vm) >= needed:
                return
        call = Call(
            what=f"the upgrade to hardware version {needed} failed",
            subject=lambda: action.machine,
            target=vm,
            send=lambda: vm.UpgradeVM_Task(version=f"vmx-{needed:02}"),
            outcome=lambda: self._facts.hardware(vm) >= needed or None,
        )
        try:
            self._calls.carry_out(call, deadline)
        except ActionFailed as error:
            if error.fault != "AlreadyUpgraded":
                raise

    def attach(self, vm_id: str, action: Action, deadline: Deadline) -> None:
        """Add the GPU devices that the action asks for, and the disk's size where it differs."""
        self._bring_to(vm_id, action, configspec.attach_spec, "adding GPUs and disk", deadline)

    def reconfigure(self, vm_id: str, action: Action, deadline: Deadline) -> None:
        """Bring CPUs, memory, GPUs and settings of an existing VM to its spec."""
        self._bring_to(vm_id, action, configspec.reconfigure_spec, "the change", deadline)

    def relocate(self, vm_id: str, action: Action, deadline: Deadline) -> None:
        """Move a VM that is off to the action's host; its disks stay where they are."""
        world = self._world(configspec.spec_of(action).lab)[1]
        vm = self._ref(vim.VirtualMachine, vm_id)
        spec = vim.vm.RelocateSpec(
            host=self._ref(vim.HostSystem, action.host_id),
            pool=self._ref(vim.ResourcePool, world.resource_pool_id),
        )
        call = Call(
            what="moving the VM failed",
            subject=lambda: action.machine,
            target=vm,
            send=lambda: vm.RelocateVM_Task(spec=spec),
            outcome=lambda: self._facts.host(vm) == action.host_id or None,
            context=lambda: f"to {action.host}",
        )
        self._calls.carry_out(call, deadline)

    def power_on(self, vm_id: str, deadline: Deadline) -> None:
        """Power the VM on."""
        vm = self._ref(vim.VirtualMachine, vm_id)
        call = Call(
            what="power-on failed",
            subject=lambda: self._facts.name(vm),
            target=vm,
            send=vm.PowerOnVM_Task,
            outcome=lambda: self._facts.power(vm) == "poweredOn" or None,
            context=lambda: self._facts.holdings(vm),
        )
        self._calls.carry_out(call, deadline)

    def wait_for_guest(self, vm_id: str, deadline: Deadline) -> GuestReport:
        """Wait for tools, a usable address and the host keys that the guest publishes.

        A guest that has an address and publishes no keys is reported without, so that whoever
        logs in can say what is missing.
        """
        return self._waits.for_guest(self._ref(vim.VirtualMachine, vm_id), deadline)

    def wait_until_made(self, vm_ids: Iterable[str], deadline: Deadline) -> None:
        """Wait until no task is making these VMs any more, whatever came of it."""
        self._waits.until_made([self._ref(vim.VirtualMachine, id_) for id_ in vm_ids], deadline)

    def shut_down(self, vm_id: str, deadline: Deadline) -> None:
        """Ask the guest to shut down; at the deadline, power the VM off."""
        vm = self._ref(vim.VirtualMachine, vm_id)
        try:
            with within(deadline):
                vm.ShutdownGuest()
            asked = True
        except ResponseLost:
            asked = True  # perhaps; the power state will tell
        except (vim.fault.ToolsUnavailable, vim.fault.InvalidState):
            asked = False  # no tools to ask, or it is off already
        except vmodl.fault.ManagedObjectNotFound:
            return
        except vmodl.MethodFault as fault:
            raise self._refused("shutting down failed", vm, fault) from fault
        if asked:
            self._waiter.wait_vm(vm, _off, deadline)
        self._power_off(vm, Deadline.after(max(deadline.left, POWER_OFF_SECONDS)))

    def destroy(self, vm_id: str, deadline: Deadline) -> None:
        """Delete a powered-off VM with its disks. A VM that is already gone is success."""
        vm = self._ref(vim.VirtualMachine, vm_id)
        call = Call(
            what="deleting the VM failed",
            subject=lambda: self._facts.name(vm),
            target=vm,
            send=vm.Destroy_Task,
            outcome=lambda: True if self._collector.one(vm, ["name"]) is None else None,
        )
        try:
            self._calls.carry_out(call, deadline)
        except ActionFailed as error:
            if error.fault != "ManagedObjectNotFound":
                raise

    def _world(self, lab: str) -> tuple[Lab, Snapshot]:
        with self._lock:
            known = self._snapshots.get(lab)
        if known is None:
            raise VdlError(
                "the lab's part of the vCenter has not been read yet",
                subject=lab,
                fix="call snapshot(lab) before changing anything",
            )
        return known

    def _ref(self, kind: Any, moid_: str | None) -> Any:
        if moid_ is None:
            raise VdlError(f"the plan names no {kind.__name__.rpartition('.')[2]} to work with")
        return self._session.ref(kind, moid_)

    def _once(self, key: tuple[str, ...], read: Callable[[], T]) -> T:
        """Return what is the same for every machine of a plan, read once per snapshot."""
        with self._lock:
            known: T | None = self._read_once.get(key)
        if known is None:
            known = read()
            with self._lock:
                self._read_once[key] = known
        return known

    def _template(self, template: Any) -> VmConfig:
        return self._once(("template", moid(template)), lambda: self._facts.config(template))

    def _network(self, network_id: str | None) -> Any:
        if network_id is None:
            raise VdlError("the plan names no network")
        return self._once(("network", network_id), lambda: self._facts.network_backing(network_id))

    def _made(self, uuid: str) -> Any | None:
        vm = self.find_vm(uuid)
        return self._ref(vim.VirtualMachine, vm.id) if vm else None

    def _bring_to(
        self,
        vm_id: str,
        action: Action,
        build: Callable[[Action, VmConfig, Parts], Any | None],
        what: str,
        deadline: Deadline,
    ) -> None:
        """Reconfigure a VM by what `build` finds missing; nothing missing, nothing sent."""
        machine = configspec.spec_of(action)
        vm = self._ref(vim.VirtualMachine, vm_id)
        lab, world = self._world(machine.lab)
        facts, network = CardFacts.of(world), find_network(lab, world)

        def change() -> Any | None:
            now = self._facts.config(vm)
            wanted = self._network(network.id) if network else None
            parts = Parts(facts, self._group_members(action, vm), wanted)
            spec = build(action, now, parts)
            if spec is not None:
                # What is missing was read off this version: vCenter refuses the change if
                # another run or user has changed the VM since.
                spec.changeVersion = now.change_version
            return spec

        while True:
            try:
                with within(deadline):
                    spec = change()
            except VCenterAway as error:
                raise OutcomeUnknown(f"{what}: {error.what}", subject=action.machine) from error
            if spec is None:
                return
            call = Call(
                what=f"{what} failed",
                subject=lambda: action.machine,
                target=vm,
                send=partial(vm.ReconfigVM_Task, spec=spec),
                outcome=lambda: change() is None or None,
                context=lambda: self._facts.where(vm),
            )
            try:
                self._calls.carry_out(call, deadline)
            except ActionFailed as error:
                if error.fault != "ConcurrentAccess" or deadline.passed:
                    raise
            else:
                return

    def _group_members(self, action: Action, vm: Any) -> Sequence[Any]:
        """Return the devices that a wanted device group is made of, as the VM's host offers it."""
        gpu = configspec.spec_of(action).gpu
        if not isinstance(gpu, GroupRequest):
            return ()
        host = action.host_id or self._facts.host(vm)
        members = self._once(
            ("group", gpu.group, host), lambda: self._facts.group_members(gpu.group, vm, host)
        )
        if not members:
            raise ActionFailed(
                f"the host offers no device group {gpu.group}",
                subject=action.machine,
                fix="plan again; `vdl gpus` shows what the hosts offer",
            )
        return list(members)

    def _power_off(self, vm: Any, deadline: Deadline) -> None:
        with within(deadline):
            if self._facts.power(vm) not in {"poweredOn", "suspended"}:
                return
        call = Call(
            what="powering off failed",
            subject=lambda: self._facts.name(vm),
            target=vm,
            send=vm.PowerOffVM_Task,
            outcome=lambda: self._facts.power(vm) == "poweredOff" or None,
        )
        self._calls.carry_out(call, deadline)

    def _refused(self, what: str, vm: Any, fault: Any) -> ActionFailed:
        return ActionFailed(
            what,
            subject=self._facts.name(vm),
            why=describe(fault),
            fix=fix_for(fault),
            fault=fault_name(fault),
        )


def _off(values: Values) -> bool:
    return values.get("runtime.powerState") == "poweredOff"
