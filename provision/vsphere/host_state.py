"""Reads one host for its preparation, in a number of calls that does not depend on its VMs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from pyVmomi import vim

from provision.errors import UsageError
from provision.gpu.types import AssignmentPolicy, VgpuMode
from provision.plan.snapshot import Connection, Power
from provision.spec.model import Lab
from provision.vsphere import privileges
from provision.vsphere.collector import Collector, Found, moid
from provision.vsphere.devices import MASK, gpu_devices, held_address
from provision.vsphere.host_claim import claim_of, field_key, value_of
from provision.vsphere.host_port import GpuState, HostState, HostVm
from provision.vsphere.host_reader import cards_among
from provision.vsphere.privileges import Missing
from provision.vsphere.session import Session
from provision.vsphere.snapshot_reader import find_datacenter
from provision.vsphere.vm_reader import POWER

STATE_PATHS = (
    "name",
    "vm",
    "customValue",
    "runtime.connectionState",
    "runtime.inMaintenanceMode",
    "runtime.bootTime",
    "capability.deviceRebindWithoutRebootSupported",
    "hardware.pciDevice",
    "config.product.apiVersion",
    "config.assignableHardwareBinding",
    "config.graphicsConfig",
    "config.graphicsInfo",
    "config.pciPassthruInfo",
    "config.sharedPassthruGpuTypes",
)
PEER_PATHS = ("name", "runtime.connectionState", "runtime.inMaintenanceMode")
VM_PATHS = (
    "name",
    "runtime.powerState",
    "config.template",
    "config.managedBy",
    "config.hardware.device",
    "config.deviceGroups",
)
# vCenter moves or stops the agents that it runs on hosts (vCLS and others) by itself.
AGENT_MANAGER = "com.vmware.vim.eam"


def read_host(session: Session, collector: Collector, lab: Lab, name: str) -> HostState:
    """Return a host of the lab's cluster as it is now.

    Raises:
        UsageError: The cluster has no such host, or there is no such cluster.
        NoConnection: vCenter refused the session or stayed away.
    """
    cluster = _cluster(session, collector, lab)
    peers = collector.of(cluster.get("host", ()), {vim.HostSystem: PEER_PATHS})
    host = next((one for one in peers if _name(one) == name), None)
    if host is None:
        raise UsageError(
            f"the cluster {lab.vcenter.cluster} has no such host",
            subject=name,
            fix=f"hosts: {', '.join(sorted(map(_name, peers))) or 'none'}",
        )
    found = collector.one(host.ref, STATE_PATHS) or host
    vms = collector.of(found.get("vm", ()), {vim.VirtualMachine: VM_PATHS})
    key = field_key(session.content, collector)
    staying = _staying(cluster, [one for one in peers if one.id != host.id])
    return _state(
        found,
        [one for one in vms if not one.get("config.template")],
        claim=value_of(found.get("customValue", ()), key),
        staying=staying,
        lacking=privileges.missing(
            session, {"host": host.ref, "vCenter": session.content.rootFolder}
        ),
    )


def _name(found: Found) -> str:
    return unquote(found.get("name", ""))


def _cluster(session: Session, collector: Collector, lab: Lab) -> Found:
    datacenter = find_datacenter(session, collector, lab)
    paths = {vim.ClusterComputeResource: ("name", "host", "configuration.drsConfig")}
    clusters = collector.under(datacenter.ref, paths) if datacenter else []
    cluster = next((one for one in clusters if _name(one) == lab.vcenter.cluster), None)
    if cluster is None:
        raise UsageError(
            "vCenter has no such cluster",
            subject=f"{lab.vcenter.datacenter}/{lab.vcenter.cluster}",
            fix="correct vcenter.datacenter and vcenter.cluster in the lab file",
        )
    return cluster


def _staying(cluster: Found, others: Iterable[Found]) -> str:
    """Say why DRS does not move VMs away from a host; empty where it does."""
    drs = cluster.get("configuration.drsConfig")
    if drs is None or not drs.enabled:
        return "the cluster has no DRS"
    if drs.defaultVmBehavior != "fullyAutomated":
        return f"DRS is {drs.defaultVmBehavior}, not fully automated"
    usable = (
        one.get("runtime.connectionState") == "connected"
        and not one.get("runtime.inMaintenanceMode")
        for one in others
    )
    return "" if any(usable) else "the cluster has no other host that is available"


def _state(
    found: Found, vms: list[Found], *, claim: str, staying: str, lacking: Iterable[Missing]
) -> HostState:
    graphics = found.get("config.graphicsConfig")
    return HostState(
        id=found.id,
        name=_name(found),
        connection=Connection(found.get("runtime.connectionState", "disconnected")),
        in_maintenance=bool(found.get("runtime.inMaintenanceMode")),
        api_version=found.get("config.product.apiVersion") or "",
        default_graphics=graphics.hostDefaultGraphicsType if graphics else "",
        policy=AssignmentPolicy(
            graphics.sharedPassthruAssignmentPolicy if graphics else AssignmentPolicy.PERFORMANCE
        ),
        booted=found.get("runtime.bootTime"),
        rebind=bool(found.get("capability.deviceRebindWithoutRebootSupported")),
        gpus=_gpus(found, vms),
        profiles=tuple(sorted(found.get("config.sharedPassthruGpuTypes") or ())),
        vms=tuple(sorted(map(_vm, vms), key=lambda vm: vm.name)),
        evacuates=not staying,
        staying=staying,
        claim=claim_of(claim),
        privileges_missing=tuple(one.text for one in lacking),
    )


def _vm(found: Found) -> HostVm:
    manager = found.get("config.managedBy")
    devices = found.get("config.hardware.device", ())
    return HostVm(
        id=found.id,
        name=_name(found),
        power=POWER[found.get("runtime.powerState", "poweredOff")],
        devices=gpu_devices(devices, found.get("config.deviceGroups")),
        agent=manager is not None and manager.extensionKey.startswith(AGENT_MANAGER),
    )


def _gpus(found: Found, vms: Iterable[Found]) -> tuple[GpuState, ...]:
    infos = {info.pciId: info for info in found.get("config.graphicsInfo", ())}
    passed = found.get("config.pciPassthruInfo", ())
    passthru = {info.id: info for info in passed}
    config = found.get("config.graphicsConfig")
    wanted = {one.deviceId: one for one in (config.deviceType or () if config else ())}
    default = config.hostDefaultGraphicsType if config else ""
    users = _users(found, vms)
    return tuple(
        _gpu(
            device,
            infos.get(device.id),
            passthru.get(device.id),
            wanted.get(device.id),
            default,
            tuple(sorted(users.get(device.id, ()))),
        )
        for device in cards_among(found.get("hardware.pciDevice", ()), passed)
    )


def _gpu(
    device: Any, info: Any, passthru: Any, wanted: Any, default: str, users: tuple[str, ...]
) -> GpuState:
    return GpuState(
        address=device.id,
        vendor_id=device.vendorId & MASK,
        device_id=device.deviceId & MASK,
        name=device.deviceName,
        capable=bool(passthru and passthru.passthruCapable),
        enabled=bool(passthru and passthru.passthruEnabled),
        active=bool(passthru and passthru.passthruActive),
        listed=info is not None,
        graphics=info.graphicsType if info else "",
        next_graphics=wanted.graphicsType if wanted else default,
        vgpu_mode=_mode(info),
        next_vgpu_mode=_mode(wanted),
        vm_ids=users,
        label=(passthru.hardwareLabel or None) if passthru else None,
    )


def _mode(entry: Any) -> VgpuMode | None:
    mode = entry.vgpuMode if entry is not None else None
    return VgpuMode(mode) if mode in set(VgpuMode) else None


def _users(found: Found, vms: Iterable[Found]) -> Mapping[str, set[str]]:
    """Return the powered-on VMs on each card, from all places that may tell."""
    users: dict[str, set[str]] = {}
    for info in found.get("config.graphicsInfo", ()):
        users.setdefault(info.pciId, set()).update(moid(vm) for vm in info.vm or ())
    for binding in found.get("config.assignableHardwareBinding", ()):
        if binding.vm is not None and binding.pciId:
            users.setdefault(binding.pciId, set()).add(moid(binding.vm))
    on = [vm for vm in vms if POWER[vm.get("runtime.powerState", "poweredOff")] is Power.ON]
    for vm in on:
        for device in vm.get("config.hardware.device", ()):
            if isinstance(device, vim.vm.device.VirtualPCIPassthrough):
                address = held_address(device)
                users.setdefault(address or "", set()).add(vm.id)
    powered = {vm.id for vm in on}
    return {address: ids & powered for address, ids in users.items()}
