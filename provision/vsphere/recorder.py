"""Copies a vCenter into the values of a world file, so that people can rehearse on their estate.

What is copied: datacenters, clusters, hosts, cards, their modes and uses, VMs and templates
with their sizes and GPUs, datastores, networks, distributed switches. What is not: anything of a
guest, annotations, addresses, users, and with `anonymous` no name and no UUID either.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyVmomi import VmomiSupport, vim

from provision.plan.snapshot import DeviceGroupInfo, Host
from provision.vsphere import host_reader, record_hosts, record_vms, target_reader
from provision.vsphere.collector import Collector, Found, moid
from provision.vsphere.devices import held_address, vgpu_profiles
from provision.vsphere.record_groups import group_entry, group_name, is_usual_group
from provision.vsphere.record_hosts import MIB, card_entries, host_entry, mib
from provision.vsphere.record_names import Names
from provision.vsphere.record_vms import (
    Machine,
    changed_profiles,
    gpu_entry,
    machine_entry,
    stamps,
)
from provision.vsphere.session import Session

Groups = dict[str, tuple[DeviceGroupInfo, ...]]
# VMs come with all their devices here: pages of a few MB of XML.
PAGE = 200
SWITCH, UPLINK = "config.distributedVirtualSwitch", "config.uplink"
DRS = "configuration.drsConfig.enabled"
# What the top level of a world file holds besides datacenters.
RESERVED = frozenset({"vcenter", "latency", "faults", "guests"})
PATHS = {
    vim.Datacenter: ("name", "parent", "vmFolder"),
    vim.Folder: ("name", "parent"),
    vim.ComputeResource: ("name", "parent", "environmentBrowser"),
    vim.HostSystem: record_hosts.HOST_PATHS,
    vim.VirtualMachine: record_vms.VM_PATHS,
    vim.Datastore: (
        "name",
        "parent",
        "summary.capacity",
        "summary.freeSpace",
        "summary.accessible",
    ),
    vim.Network: ("name", "parent"),
    vim.dvs.DistributedVirtualPortgroup: ("name", "parent", SWITCH, UPLINK),
    vim.DistributedVirtualSwitch: ("name", "parent"),
}


@dataclass(frozen=True, slots=True)
class Recording:
    """A copy of a vCenter.

    Attributes:
        world: The values of a world file.
        notes: Where the copy differs from what was copied.
    """

    world: dict[str, Any]
    notes: tuple[str, ...]


def record(session: Session, *, anonymous: bool = False) -> Recording:
    """Copy all of a vCenter that the user may see.

    Args:
        session: A session of someone who may read what is to be copied.
        anonymous: Number all objects instead of naming them.

    Raises:
        NoConnection: vCenter refused the session or stayed away.
    """
    collector = Collector(session, PAGE)
    found = collector.under(session.content.rootFolder, PATHS)
    clusters = [one.ref for one in found if isinstance(one.ref, vim.ClusterComputeResource)]
    drs = collector.of(clusters, {vim.ClusterComputeResource: (DRS,)}) if clusters else []
    without = {one.id for one in drs if one.get(DRS) is False}
    recorder = _Recorder(session.about, found, without, Names(anonymous=anonymous))
    return recorder.recording(_device_groups(session, found))


def _device_groups(session: Session, found: Sequence[Found]) -> Groups:
    """Return the device groups that hosts offer under names of their own, by host id.

    A cluster is asked first, and its hosts one by one only where it has any.
    """
    hosts: dict[str, list[str]] = defaultdict(list)
    for one in found:
        connected = one.get("runtime.connectionState") == "connected"
        if isinstance(one.ref, vim.HostSystem) and connected and one.get("parent") is not None:
            hosts[moid(one.get("parent"))].append(one.id)
    by_host: Groups = {}
    for cluster in found:
        browser, inside = cluster.get("environmentBrowser"), hosts.get(cluster.id)
        if browser is None or not inside:
            continue
        target = browser.QueryConfigTarget()
        if any(
            not is_usual_group(g.name) for g in (target_reader.groups(target) if target else ())
        ):
            by_host |= target_reader.groups_by_host(session, browser, inside)
    return by_host


def known_api(version: str) -> str:
    """Return the newest API version up to this one that pyVmomi knows."""
    known = [k.partition("/")[2] for k in VmomiSupport.versionMap if k.startswith("vim25/")]
    plain = [k for k in known if k.replace(".", "").isdigit()]
    return max((k for k in plain if _parts(k) <= _parts(version)), key=_parts, default="7.0.0.0")


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


@dataclass
class _Area:
    """One datacenter while it is being copied."""

    clusters: dict[str, Any] = field(default_factory=dict)
    templates: dict[str, Any] = field(default_factory=dict)
    stores: dict[str, Found] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    switches: dict[str, list[str]] = field(default_factory=dict)
    disks: Counter[str] = field(default_factory=Counter)


class _Recorder:
    def __init__(
        self, about: Any, found: Iterable[Found], without_drs: set[str], names: Names
    ) -> None:
        self._about = about
        self._without_drs = without_drs
        self._names = names
        self._all = {one.id: one for one in found}
        self._notes: list[str] = []
        self._areas = {dc.id: _Area() for dc in self._of(vim.Datacenter)}
        self._machines = [Machine.of(vm) for vm in self._of(vim.VirtualMachine)]
        self._roots = {moid(dc.get("vmFolder")) for dc in self._of(vim.Datacenter)}
        self._running_on: dict[str | None, list[Machine]] = defaultdict(list)
        for machine in self._machines:
            if machine.on:
                self._running_on[_host_of(machine.found)].append(machine)
        self._hosts: dict[str, Host] = {}
        self._kept: dict[str, set[str]] = {}

    def _of(self, kind: type[Any]) -> Iterator[Found]:
        return (one for one in self._all.values() if isinstance(one.ref, kind))

    def recording(self, groups: Groups) -> Recording:
        """Return the copy; `groups` are the device groups of each host, by the host's id."""
        for kind, keep in ((vim.Datastore, self._store), (vim.Network, self._network)):
            for one in self._of(kind):
                if (area := self._area(one)) is not None:
                    keep(one, area)
        for host in self._of(vim.HostSystem):
            self._host(host, groups.get(host.id, ()))
        for machine in self._machines:
            self._machine(machine)
        vcenter = {"api": known_api(self._about.apiVersion)}
        if not self._names.anonymous and self._about.instanceUuid:
            vcenter["instance_uuid"] = self._about.instanceUuid
        areas = {self._datacenter(id_): self._entry(a) for id_, a in self._areas.items()}
        return Recording({"vcenter": vcenter, **areas}, tuple(self._notes))

    def _datacenter(self, id_: str) -> str:
        name = self._all[id_].get("name", id_)
        return self._names.give("datacenter", id_, f"{name}-dc" if name in RESERVED else name)

    def _area(self, one: Found) -> _Area | None:
        """Return the datacenter that an object lies in."""
        at: Found | None = one
        while at is not None and at.id not in self._areas:
            parent = at.get("parent")
            at = self._all.get(moid(parent)) if parent is not None else None
        return self._areas[at.id] if at is not None else None

    def _store(self, one: Found, area: _Area) -> None:
        name = self._names.give("datastore", one.id, one.get("name", one.id), id(area))
        area.stores[name] = one

    def _network(self, one: Found, area: _Area) -> None:
        if one.get(UPLINK):
            return  # what joins a switch to the hosts' own cards: no VM is on it
        name = self._names.give("network", one.id, one.get("name", one.id), id(area))
        area.networks[one.id] = name
        if (switch := one.get(SWITCH)) is not None:
            area.switches.setdefault(self._switch(moid(switch), area), []).append(name)

    def _switch(self, id_: str, area: _Area) -> str:
        known = self._all.get(id_)
        name = known.get("name", id_) if known is not None else id_
        return self._names.give("switch", id_, name, id(area))

    def _host(self, found: Found, groups: Sequence[DeviceGroupInfo]) -> None:
        area, parent = self._area(found), found.get("parent")
        if area is None or parent is None:
            return
        on = self._running_on[found.id]
        host = host_reader.host(
            found,
            reserved=0,
            profiles=(),
            vgpus={m.found.id: vgpu_profiles(m.config.devices) for m in on},
            held={m.found.id: _held(m) for m in on},
        )
        cards, unknown = card_entries(found, host, self._names)
        name = self._name("host", found, moid(parent))
        for model, count in unknown.items():
            self._notes.append(f"{name}: left out {count} of {model}, which vdl does not know")
        self._hosts[found.id] = host
        self._kept[found.id] = {card["address"] for card in cards}
        own = self._groups(name, groups)
        entry = host_entry(found, host, cards, own, self._reached(found, area))
        self._cluster(found, area)["hosts"][name] = entry

    def _groups(self, host: str, groups: Sequence[DeviceGroupInfo]) -> dict[str, Any]:
        """Return the entries of a host's device groups that have names of their own."""
        entries: dict[str, Any] = {}
        for group in groups:
            if is_usual_group(group.name):
                continue
            name = group_name(group.name, self._names)
            try:
                entries[name] = group_entry(group)
            except ValueError as reason:
                self._notes.append(f"{host}: left out the device group {name}, because {reason}")
        return entries

    def _name(self, kind: str, found: Found, scope: str) -> str:
        return self._names.give(kind, found.id, found.get("name", found.id), scope)

    def _cluster(self, host: Found, area: _Area) -> dict[str, Any]:
        """Return the entry of a host's cluster; a host without one is a cluster of its own."""
        parent = self._all.get(moid(host.get("parent")), host)
        name = self._names.give("cluster", f"cluster/{parent.id}", parent.get("name", ""), id(area))
        # A host without a cluster has nothing that could move its VMs.
        cluster = isinstance(parent.ref, vim.ClusterComputeResource)
        drs = cluster and parent.id not in self._without_drs
        basis: dict[str, Any] = {} if drs else {"drs": False}
        entry: dict[str, Any] = area.clusters.setdefault(name, {**basis, "hosts": {}, "vms": {}})
        return entry

    def _reached(self, host: Found, area: _Area) -> dict[str, list[str]]:
        """Return the datastores and networks of a host that does not have all of them."""
        mounted = {moid(ref) for ref in host.get("datastore", ())}
        wired = {moid(ref) for ref in host.get("network", ())}
        stores = [name for name, store in area.stores.items() if store.id in mounted]
        networks = [name for id_, name in area.networks.items() if id_ in wired]
        reached: dict[str, list[str]] = {}
        if len(stores) < len(area.stores):
            reached["datastores"] = stores
        if len(networks) < len(area.networks):
            reached["networks"] = networks
        return reached

    def _machine(self, machine: Machine) -> None:
        found = machine.found
        host = self._all.get(_host_of(found) or "")
        area = self._area(host) if host is not None else None
        store = next((self._all.get(moid(r)) for r in found.get("datastore", ())), None)
        if host is None or area is None or store is None:
            self._notes.append(f"{self._name('vm', found, '')}: left out, it is on no host or disk")
            return
        places = {
            "host": self._name("host", host, ""),
            "folder": self._folder(found),
            "datastore": self._name("datastore", store, ""),
            "network": self._wire(found, area),
        }
        entry = machine_entry(machine, places)
        area.disks[store.id] += machine.disk
        if machine.template:
            area.templates[self._name("template", found, str(id(area)))] = entry
        else:
            cluster = self._cluster(host, area)
            name = self._name("vm", found, str(id(cluster)))
            cluster["vms"][name] = entry | self._running(machine, name, host.id)

    def _running(self, machine: Machine, name: str, host: str) -> dict[str, Any]:
        """Return what only entries of VMs have: power, GPUs, cards and identity."""
        entry: dict[str, Any] = {"power": "on" if machine.on else "off"}
        if not self._names.anonymous:
            entry["instance_uuid"] = machine.found.get("config.instanceUuid") or None
            entry["extra"] = stamps(machine.config) or None
        cards = self._hosts[host].cards if host in self._hosts and machine.on else ()
        held = {
            c.address.lower() for c in cards if any(u.vm_id == machine.found.id for u in c.uses)
        }
        try:
            entry["gpu"] = self._gpu(machine, held, host)
        except ValueError as reason:
            self._notes.append(f"{name}: recorded without its GPUs, because {reason}")
        else:
            entry["card"] = sorted(held) or None
            self._notes += [f"{name}: {change}" for change in changed_profiles(machine.config)]
        return {key: value for key, value in entry.items() if value is not None}

    def _gpu(self, machine: Machine, held: set[str], host: str) -> dict[str, Any] | None:
        if not held <= self._kept.get(host, set()):
            raise ValueError("its card is not known to vdl")
        return gpu_entry(machine.config, self._names)

    def _folder(self, vm: Found) -> str | None:
        names: list[str] = []
        at = vm
        while (parent := at.get("parent")) is not None and moid(parent) not in self._roots:
            at = self._all[moid(parent)]
            names.append(self._name("folder", at, moid(at.get("parent"))))
        return "/".join(reversed(names)) or None

    def _wire(self, vm: Found, area: _Area) -> str | None:
        wires = (area.networks.get(moid(ref)) for ref in vm.get("network", ()))
        return next((name for name in wires if name), None)

    def _entry(self, area: _Area) -> dict[str, Any]:
        entry = {
            "templates": area.templates,
            "clusters": {
                name: {key: value for key, value in cluster.items() if value or key == "drs"}
                for name, cluster in area.clusters.items()
            },
            "datastores": {
                name: _store_entry(store, area.disks[store.id])
                for name, store in area.stores.items()
            },
            "switches": area.switches,
        }
        distributed = {name for names in area.switches.values() for name in names}
        plain = [name for name in area.networks.values() if name not in distributed]
        shown = {key: value for key, value in entry.items() if value}
        # Without the key, a datacenter has a network of its own.
        return {**shown, "networks": plain} if area.networks else shown


def _store_entry(store: Found, disks: int) -> dict[str, Any]:
    """Return the entry of a datastore.

    A world file says what is free before its VMs are there, and their disks take all of their
    size; thin disks may make that more than the real capacity.
    """
    free = store.get("summary.freeSpace", 0) // MIB * MIB + disks
    capacity = max(store.get("summary.capacity", 0), free)
    entry: dict[str, Any] = {"capacity": mib(capacity), "free": mib(free)}
    return entry if store.get("summary.accessible", True) else {**entry, "accessible": False}


def _host_of(vm: Found) -> str | None:
    host = vm.get("runtime.host")
    return moid(host) if host is not None else None


def _held(machine: Machine) -> list[str]:
    passthrough = vim.vm.device.VirtualPCIPassthrough
    found = (held_address(d) for d in machine.config.devices if isinstance(d, passthrough))
    return [address for address in found if address]
