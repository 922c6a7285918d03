"""What is sent to vCenter's own checks: what making, changing and starting machines would send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim

from provision.plan.identity import instance_uuid
from provision.plan.model import Action, ActionKind, Plan
from provision.plan.snapshot import Snapshot
from provision.spec.model import GroupRequest, Lab
from provision.vsphere import configspec
from provision.vsphere.collector import Collector
from provision.vsphere.facts import Facts
from provision.vsphere.gpuspec import CardFacts, gpu_changes
from provision.vsphere.session import Session


@dataclass(frozen=True, slots=True)
class Question:
    """One check by name, and what asks it: a task, or the answer itself."""

    check: str
    send: Callable[[], Any]


class Questions:
    """The questions about the machines of one plan. Safe for any number of threads."""

    def __init__(
        self,
        session: Session,
        collector: Collector,
        facts: Facts,
        plan: Plan,
        lab: Lab,
        world: Snapshot,
    ) -> None:
        self._session, self._facts = session, facts
        self._lab, self._world = lab, world
        self._cards = CardFacts.of(world)
        self._network = facts.network_backing(plan.network_id) if plan.network_id else None
        if any(action.kind is ActionKind.CREATE for action in plan.actions):
            self._template = session.ref(vim.VirtualMachine, plan.template_id or "")
            self._now = facts.config(self._template)
            self._folder = _folder(session, collector, world)

    def of(self, action: Action) -> Iterator[Question]:
        """Yield what vCenter is asked about a machine."""
        if action.kind is ActionKind.CREATE:
            yield from self._of_new(action)
        else:
            yield from self._of_standing(action)

    def _of_new(self, action: Action) -> Iterator[Question]:
        content = self._session.content
        if (cloning := content.vmProvisioningChecker) is not None:
            spec = self._clone_spec(action)
            yield Question(
                "CheckClone",
                lambda: cloning.CheckClone_Task(
                    vm=self._template, folder=self._folder, name=action.machine, spec=spec
                ),
            )
        if configspec.spec_of(action).gpu is None:
            return
        config = self._config_spec(action)
        if (compatibility := content.vmCompatibilityChecker) is not None:
            # A template will do, where a host is named (vSphere Web Services API, parameter
            # `host` of CheckVmConfig_Task).
            yield Question(
                "CheckVmConfig",
                lambda: compatibility.CheckVmConfig_Task(
                    spec=config, vm=self._template, host=self._host(action)
                ),
            )
        if self._world.drs:
            yield self._placement(action, config)

    def _placement(self, action: Action, config: Any) -> Question:
        """Ask DRS about the one host that was chosen."""
        spec = self._clone_spec(action)
        spec.config = config
        cluster = self._session.ref(vim.ClusterComputeResource, self._world.cluster_id or "")
        asked = vim.cluster.PlacementSpec(
            vm=self._template,
            placementType="clone",
            cloneSpec=spec,
            cloneName=action.machine,
            relocateSpec=spec.location,
            hosts=[self._host(action)],
            datastores=[spec.location.datastore],
        )
        return Question("PlaceVm", lambda: cluster.PlaceVm(placementSpec=asked))

    def _of_standing(self, action: Action) -> Iterator[Question]:
        """Yield questions about a VM that is off: may it start, or be what it shall be first?"""
        compatibility = self._session.content.vmCompatibilityChecker
        if compatibility is None or action.vm is None:
            return
        vm, host = self._session.ref(vim.VirtualMachine, action.vm.id), self._host(action)
        now = self._facts.config(vm)
        parts = configspec.Parts(self._cards, self._members(action, vm), self._network)
        change = configspec.reconfigure_spec(action, now, parts)
        if change is None:
            yield Question(
                "CheckPowerOn", lambda: compatibility.CheckPowerOn_Task(vm=vm, host=host)
            )
        else:
            yield Question(
                "CheckVmConfig",
                lambda: compatibility.CheckVmConfig_Task(spec=change, vm=vm, host=host),
            )

    def _host(self, action: Action) -> Any:
        return self._session.ref(vim.HostSystem, action.host_id or "")

    def _clone_spec(self, action: Action) -> Any:
        ref, world = self._session.ref, self._world
        place = configspec.Place(
            pool=ref(vim.ResourcePool, world.resource_pool_id or ""),
            host=self._host(action),
            datastore=ref(vim.Datastore, action.datastore_id or ""),
        )
        uuid = instance_uuid(world.vcenter.instance_uuid, self._lab.lab, action.machine)
        return configspec.clone_spec(action, uuid, place, self._now, self._network)

    def _config_spec(self, action: Action) -> Any:
        """Return the configuration of the finished machine, GPUs included."""
        machine = configspec.spec_of(action)
        members = self._members(action, self._template)
        changes, groups = gpu_changes(machine, action, self._now, self._cards, members)
        config = self._clone_spec(action).config
        grown = configspec.disk_change(machine, self._now.devices)
        config.deviceChange = [*config.deviceChange, *grown, *changes]
        config.deviceGroups = groups
        return config

    def _members(self, action: Action, vm: Any) -> tuple[Any, ...]:
        gpu = configspec.spec_of(action).gpu
        if not isinstance(gpu, GroupRequest):
            return ()
        return tuple(self._facts.group_members(gpu.group, vm, action.host_id or ""))


def _folder(session: Session, collector: Collector, world: Snapshot) -> Any:
    """Return the folder that new VMs go to; where it is not made yet, the one above."""
    if world.vm_folder_id is not None:
        return session.ref(vim.Folder, world.vm_folder_id)
    datacenter = session.ref(vim.Datacenter, world.datacenter_id or "")
    found = collector.one(datacenter, ["vmFolder"])
    return found.get("vmFolder") if found else None
