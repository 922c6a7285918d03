"""Single facts about single objects, each read when it is needed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pyVmomi import vim

from provision.plan.snapshot import Vm
from provision.vsphere import configspec, vm_reader
from provision.vsphere.collector import Collector, moid
from provision.vsphere.devices import CONFIG_PATHS, VmConfig
from provision.vsphere.port import ActionFailed
from provision.vsphere.session import Session


class Facts:
    """Reads what one step of one machine has to know. Safe for any number of threads."""

    def __init__(self, session: Session, collector: Collector) -> None:
        self._session = session
        self._collector = collector

    def vm(self, ref: Any) -> Vm | None:
        """Return a whole VM; None where it is gone."""
        paths = (*vm_reader.NARROW, *vm_reader.WIDE)
        found = self._collector.with_ancestors(ref, paths)
        own = next((one for one in found if one.id == moid(ref)), None)
        if own is None:
            return None
        places = vm_reader.Paths(one for one in found if one is not own)
        return vm_reader.vm(own, own, places.of(own.get("name", own.id), own.get("parent")))

    def config(self, vm: Any) -> VmConfig:
        """Return a VM's configuration.

        Raises:
            ActionFailed: The VM is gone.
        """
        found = self._collector.one(vm, CONFIG_PATHS)
        if found is None:
            raise ActionFailed("the VM no longer exists", subject=moid(vm), fix="run again")
        return VmConfig.of(found.values)

    def hardware(self, vm: Any) -> int:
        """Return the number in a VM's hardware version; 0 where the VM is gone."""
        found = self._collector.one(vm, ["config.version"])
        digits = re.search(r"\d+", found.get("config.version", "") if found else "")
        return int(digits[0]) if digits else 0

    def power(self, vm: Any) -> str | None:
        """Return a VM's power state in vSphere's words; None where the VM is gone."""
        found = self._collector.one(vm, ["runtime.powerState"])
        return str(found.get("runtime.powerState")) if found else None

    def host(self, vm: Any) -> str:
        """Return the id of a VM's host; empty where it has none."""
        found = self._collector.one(vm, ["runtime.host"])
        host = found.get("runtime.host") if found else None
        return moid(host) if host is not None else ""

    def name(self, vm: Any) -> str:
        """Return a VM's name; its id where the VM is gone."""
        found = self._collector.one(vm, ["name"])
        return str(found.get("name")) if found else moid(vm)

    def network_backing(self, network_id: str) -> Any:
        """Return what puts a network card on a network or distributed port group.

        Raises:
            ActionFailed: It no longer exists.
        """
        if not network_id.startswith("dvportgroup-"):
            network = self._session.ref(vim.Network, network_id)
            found = self._collector.one(network, ["name"])
            return configspec.network_backing(network, found.get("name", "") if found else "")
        group = self._session.ref(vim.dvs.DistributedVirtualPortgroup, network_id)
        found = self._collector.one(group, ["key", "config.distributedVirtualSwitch"])
        switch = found.get("config.distributedVirtualSwitch") if found else None
        uuid = self._collector.one(switch, ["uuid"]) if switch else None
        if found is None or uuid is None:
            raise ActionFailed("the distributed port group no longer exists", subject=network_id)
        return configspec.network_backing(group, "", uuid.get("uuid"), found.get("key"))

    def group_members(self, name: str, vm: Any, host: str) -> Sequence[Any]:
        """Return the devices that a host's device group is made of; empty where it has none."""
        found = self._collector.one(vm, ["environmentBrowser"])
        browser = found.get("environmentBrowser") if found else None
        target = (
            browser.QueryConfigTarget(self._session.ref(vim.HostSystem, host)) if browser else None
        )
        groups = target.vendorDeviceGroupInfo or () if target else ()
        parts = (g.componentDeviceInfo or () for g in groups if g.deviceGroupName == name)
        return [part.device for part in next(parts, ())]

    def where(self, vm: Any) -> str:
        """Return `on host NAME`; empty where the VM has no host."""
        host = self.host(vm)
        found = (
            self._collector.one(self._session.ref(vim.HostSystem, host), ["name"]) if host else None
        )
        return f"on host {found.get('name')}" if found else ""

    def holdings(self, vm: Any) -> str:
        """Return the host and the GPUs of a VM, for a failure's message."""
        gpus = ", ".join(f"{gpu.kind} {gpu.value}" for gpu in self.config(vm).gpus)
        return "; ".join(filter(None, (self.where(vm), f"GPUs: {gpus}" if gpus else "")))
