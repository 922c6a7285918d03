"""Reads a `Snapshot`: a fixed number of calls, however large the vCenter is, pages aside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from pyVmomi import vim

from provision.plan.identity import instance_uuid
from provision.plan.snapshot import (
    Datastore,
    Host,
    Network,
    Power,
    Snapshot,
    Template,
    VCenterIdentity,
    VgpuProfileInfo,
    Vm,
)
from provision.spec.model import Lab
from provision.vsphere import host_reader, privileges, target_reader, vm_reader
from provision.vsphere.collector import Collector, Found, by_type, moid
from provision.vsphere.devices import held_address, vgpu_profiles
from provision.vsphere.session import Session

SIMULATOR = "vdl simulator"

CLUSTER_PATHS = (
    "name",
    "parent",
    "host",
    "datastore",
    "network",
    "resourcePool",
    "environmentBrowser",
    "configuration.drsConfig.enabled",
)
FOLDER_PATHS = ("name", "parent")


def identity(session: Session) -> VCenterIdentity:
    """Return which vCenter this is."""
    about = session.about
    return VCenterIdentity(
        instance_uuid=about.instanceUuid or "",
        api_version=about.apiVersion,
        name=about.name,
        simulated=about.name == SIMULATOR,
    )


def read_snapshot(session: Session, lab: Lab) -> Snapshot:
    """Read the part of the world that a plan for `lab` depends on.

    Raises:
        NoConnection: vCenter refused the session or stayed away.
    """
    basis = Snapshot(identity(session), lab.vcenter.datacenter, lab.vcenter.cluster)
    collector = Collector(session)
    datacenter = find_datacenter(session, collector, lab)
    if datacenter is None:
        return basis
    tree = _Tree.read(collector, datacenter)
    cluster = tree.cluster(lab.vcenter.cluster)
    folder = tree.folder(datacenter, lab.vcenter.folder)
    parts = _read_cluster(collector, cluster) if cluster else {}
    wide = _read_wide(collector, tree, parts.get(vim.HostSystem, []), lab, basis.vcenter, folder)
    snapshot = replace(
        basis,
        datacenter_id=datacenter.id,
        vm_folder_id=moid(folder) if folder else None,
        vms=tuple(_vm(one, wide, tree) for one in tree.vms if not one.get("config.template")),
        templates=tuple(_templates(tree, wide)),
    )
    if cluster is None:
        return snapshot
    return _with_cluster(session, snapshot, lab, cluster, parts, wide, datacenter, tree)


def read_lab_vms(session: Session, lab: Lab) -> tuple[Vm, ...]:
    """Return the VMs that carry this lab's stamp, without reading hosts or templates."""
    collector = Collector(session)
    datacenter = find_datacenter(session, collector, lab)
    if datacenter is None:
        return ()
    tree = _Tree.read(collector, datacenter)
    folder = tree.folder(datacenter, lab.vcenter.folder)
    wide = _read_wide(collector, tree, [], lab, identity(session), folder, templates=False)
    vms = (_vm(one, wide, tree) for one in tree.vms if one.id in wide)
    return tuple(vm for vm in vms if vm.lab == lab.lab)


def find_datacenter(session: Session, collector: Collector, lab: Lab) -> Found | None:
    """Return the lab's datacenter, wherever it lies."""
    paths = {vim.Datacenter: ("name", "parent", "vmFolder")}
    found = collector.under(session.content.rootFolder, paths)
    return next((one for one in found if _name(one) == lab.vcenter.datacenter), None)


def _name(found: Found) -> str:
    return unquote(found.get("name", ""))


@dataclass(frozen=True, slots=True)
class _Tree:
    """Clusters, folders and VMs of a datacenter with their narrow properties."""

    clusters: list[Found]
    folders: list[Found]
    vms: list[Found]
    paths: vm_reader.Paths

    @classmethod
    def read(cls, collector: Collector, datacenter: Found) -> _Tree:
        wanted = {
            vim.ClusterComputeResource: CLUSTER_PATHS,
            vim.Folder: FOLDER_PATHS,
            vim.VirtualMachine: vm_reader.NARROW,
        }
        found = by_type(collector.under(datacenter.ref, wanted))
        folders = found.get(vim.Folder, [])
        return cls(
            clusters=found.get(vim.ClusterComputeResource, []),
            folders=folders,
            vms=found.get(vim.VirtualMachine, []),
            paths=vm_reader.Paths([datacenter, *folders]),
        )

    def cluster(self, name: str) -> Found | None:
        """Return the cluster of that name."""
        return next((one for one in self.clusters if _name(one) == name), None)

    def folder(self, datacenter: Found, path: str) -> Any | None:
        """Return the reference of a VM folder by its path below the datacenter's `vm`."""
        at: Any = datacenter.get("vmFolder")
        for step in filter(None, path.split("/")):
            inside = (f for f in self.folders if _parent(f) == moid(at) and _name(f) == step)
            found = next(inside, None)
            if found is None:
                return None
            at = found.ref
        return at

    def below(self, folder: Any) -> set[str]:
        """Return the ids of a folder and all folders in it."""
        inside = {moid(folder)}
        while more := {f.id for f in self.folders if _parent(f) in inside} - inside:
            inside |= more
        return inside


def _parent(found: Found) -> str | None:
    parent = found.get("parent")
    return moid(parent) if parent is not None else None


def _read_cluster(collector: Collector, cluster: Found) -> dict[Any, list[Found]]:
    refs = [*cluster.get("host", ()), *cluster.get("datastore", ()), *cluster.get("network", ())]
    if not refs:
        return {}
    found = collector.of(
        refs,
        {
            vim.HostSystem: host_reader.HOST_PATHS,
            vim.Datastore: ("name", "summary.freeSpace", "summary.accessible"),
            vim.Network: ("name",),
            vim.dvs.DistributedVirtualPortgroup: ("name", "key"),
        },
    )
    return by_type(found)


def _read_wide(
    collector: Collector,
    tree: _Tree,
    hosts: Iterable[Found],
    lab: Lab,
    vcenter: VCenterIdentity,
    folder: Any | None,
    *,
    templates: bool = True,
) -> dict[str, Found]:
    """Return the wide properties of templates, of VMs with cards, and of what may be the lab's."""
    holders = {vm for host in hosts for vm in host_reader.holders(host)}
    uuids = {instance_uuid(vcenter.instance_uuid, lab.lab, m.name) for m in lab.resolve()}
    folders = tree.below(folder) if folder else set()

    def matters(vm: Found) -> bool:
        if vm.get("config.template"):
            return templates
        return (
            vm.id in holders
            or vm.get("config.instanceUuid") in uuids
            or _parent(vm) in folders
            or _name(vm).startswith(f"{lab.lab}-")
            or (vm.get("config.annotation") or "").startswith(vm_reader.note_start(lab.lab))
        )

    refs = [vm.ref for vm in tree.vms if matters(vm)]
    if not refs:
        return {}
    return {vm.id: vm for vm in collector.of(refs, {vim.VirtualMachine: vm_reader.WIDE})}


def _vm(narrow: Found, wide: Mapping[str, Found], tree: _Tree) -> Vm:
    path = tree.paths.of(_name(narrow), narrow.get("parent"))
    return vm_reader.vm(narrow, wide.get(narrow.id), path)


def _templates(tree: _Tree, wide: Mapping[str, Found]) -> Iterable[Template]:
    for one in tree.vms:
        if one.get("config.template") and one.id in wide:
            path = tree.paths.of(_name(one), one.get("parent"))
            yield vm_reader.template(one, wide[one.id], path)


def _with_cluster(
    session: Session,
    snapshot: Snapshot,
    lab: Lab,
    cluster: Found,
    parts: Mapping[Any, list[Found]],
    wide: Mapping[str, Found],
    datacenter: Found,
    tree: _Tree,
) -> Snapshot:
    browser = cluster.get("environmentBrowser")
    target = browser.QueryConfigTarget() if browser else None
    profiles = target_reader.profiles(target) if target else ()
    hosts = _hosts(snapshot, parts.get(vim.HostSystem, []), profiles, wide)
    if browser and target:
        hosts = target_reader.complete(session, browser, target, hosts, lab)
    datastores = parts.get(vim.Datastore, [])
    networks = [n for kind, same in parts.items() if issubclass(kind, vim.Network) for n in same]
    pool = cluster.get("resourcePool")
    template = next((t for t in snapshot.templates if lab.template in (t.name, t.path)), None)
    places = _folders(tree, datacenter, lab) | {
        "template": session.ref(vim.VirtualMachine, template.id) if template else None,
        "pool": pool,
        "datastore": _named(datastores, lab.vcenter.datastore),
        "network": _named(networks, lab.vcenter.network),
    }
    lacking = privileges.missing(
        session, {kind: place for kind, place in places.items() if place is not None}
    )
    return replace(
        snapshot,
        cluster_id=cluster.id,
        resource_pool_id=moid(pool) if pool else None,
        drs=bool(cluster.get("configuration.drsConfig.enabled")),
        hosts=hosts,
        datastores=tuple(_datastore(one) for one in datastores),
        networks=tuple(Network(one.id, _name(one), one.get("key", "")) for one in networks),
        privileges_missing=tuple(one.text for one in lacking if one.privilege.only is None),
        privileges_missing_to_move=tuple(
            one.text for one in lacking if one.privilege.only == privileges.MOVES
        ),
    )


def _folders(tree: _Tree, datacenter: Found, lab: Lab) -> dict[str, Any]:
    """Return where privileges on folders are asked about.

    A permission for a folder that does not exist yet is inherited from the one that it will be
    made in.
    """
    folder = tree.folder(datacenter, lab.vcenter.folder)
    if folder is not None:
        return {"folder": folder}
    above = datacenter.get("vmFolder")
    return {"parent": above, "folder": above}


def _named(found: Iterable[Found], name: str) -> Any | None:
    return next((one.ref for one in found if _name(one) == name), None)


def _datastore(found: Found) -> Datastore:
    return Datastore(
        id=found.id,
        name=_name(found),
        free=found.get("summary.freeSpace", 0),
        accessible=bool(found.get("summary.accessible", False)),
    )


def _hosts(
    snapshot: Snapshot,
    found: Iterable[Found],
    profiles: tuple[VgpuProfileInfo, ...],
    wide: Mapping[str, Found],
) -> tuple[Host, ...]:
    on = [vm for vm in snapshot.vms if vm.power is Power.ON]
    reserved = host_reader.reserved_by_host((vm.host_id, vm.memory_reserved) for vm in on)
    devices = {vm.id: wide[vm.id].get("config.hardware.device", ()) for vm in on if vm.id in wide}
    vgpus = {vm: vgpu_profiles(all_) for vm, all_ in devices.items()}
    held = {vm: _held(all_) for vm, all_ in devices.items()}
    by_host: dict[str | None, dict[str, list[str]]] = {}
    for vm in on:
        by_host.setdefault(vm.host_id, {})[vm.id] = held.get(vm.id, [])
    return tuple(
        host_reader.host(
            one,
            reserved=reserved[one.id],
            profiles=profiles,
            vgpus=vgpus,
            held=by_host.get(one.id, {}),
        )
        for one in sorted(found, key=_name)
    )


def _held(devices: Iterable[Any]) -> list[str]:
    passthrough = (d for d in devices if isinstance(d, vim.vm.device.VirtualPCIPassthrough))
    return [address for device in passthrough if (address := held_address(device))]
