"""What a plan was computed from, as one number: another number means that the plan is stale.

Only what can change the plan goes in. What moves all the time and decides nothing stays out:
free space counts as enough or not, free memory as room for so many machines, and VMs that
neither belong to the lab nor hold a card or a wanted name do not count at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, replace
from typing import Any

from provision.plan.identity import instance_uuid
from provision.plan.preflight import disk_wanted, find_datastore, find_network
from provision.plan.refusals import Reach
from provision.plan.snapshot import Card, Datastore, Host, Snapshot, Vm
from provision.spec.model import Lab, Machine


def fingerprint(lab: Lab, snapshot: Snapshot) -> str:
    """Return the SHA-256 over the resolved lab and the part of the world that matters to it."""
    machines = lab.resolve()
    reach = Reach(find_datastore(lab, snapshot), find_network(lab, snapshot))
    largest = max((machine.memory for machine in machines), default=1)
    content = {
        "lab": [machine.model_dump(mode="json") for machine in machines],
        "vcenter": lab.vcenter.model_dump(mode="json"),
        "place": _place(snapshot),
        "hosts": [_host(host, largest, len(machines), reach) for host in _by_id(snapshot.hosts)],
        "templates": _templates(lab, snapshot),
        "datastore": _datastore(lab, snapshot, machines, reach.datastore),
        "network": reach.network.id if reach.network else None,
        "vms": sorted(_vm(vm) for vm in _relevant(lab, machines, snapshot)),
    }
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _by_id(hosts: Iterable[Host]) -> list[Host]:
    return sorted(hosts, key=lambda host: host.id)


def _place(snapshot: Snapshot) -> list[Any]:
    return [
        snapshot.vcenter.instance_uuid,
        snapshot.datacenter_id,
        snapshot.cluster_id,
        snapshot.resource_pool_id,
        snapshot.vm_folder_id,
        sorted(snapshot.privileges_missing),
        sorted(snapshot.privileges_missing_to_move),
    ]


def _host(host: Host, largest: int, machines: int, reach: Reach) -> dict[str, Any]:
    room = max(0, host.memory - host.memory_reserved) // largest
    return {
        "id": host.id,
        "name": host.name,
        "state": [host.connection, host.in_maintenance, host.shared_direct, host.policy],
        "release": [host.api_version, host.vgpu_manager],
        "size": [host.cpus, host.memory, min(room, machines), host.max_vgpus_per_vm],
        "reach": [reach.has_datastore(host), reach.has_network(host)],
        "cards": sorted(_card(card) for card in host.cards),
        "nodes": sorted(astuple(node) for node in host.numa_nodes),
        "profiles": sorted(profile.name for profile in host.profiles),
        "groups": sorted(group.name for group in host.device_groups),
    }


def _card(card: Card) -> str:
    uses = tuple(sorted(card.uses, key=lambda use: (use.vm_id, use.profile or "")))
    return json.dumps(asdict(replace(card, uses=uses)), sort_keys=True)


def _templates(lab: Lab, snapshot: Snapshot) -> list[list[Any]]:
    return sorted(
        [t.id, t.path, t.firmware, t.hardware, t.tools, t.disk, t.change_version, len(t.gpus)]
        for t in snapshot.templates
        if lab.template in (t.name, t.path)
    )


def _datastore(
    lab: Lab, snapshot: Snapshot, machines: Sequence[Machine], store: Datastore | None
) -> list[Any]:
    """Return the datastore and whether it holds what may still have to be made."""
    if store is None:
        return []
    existing = {vm.machine for vm in snapshot.vms if vm.lab == lab.lab}
    missing = [machine for machine in machines if machine.name not in existing]
    return [store.id, store.accessible, store.free >= disk_wanted(missing)]


def _relevant(lab: Lab, machines: Sequence[Machine], snapshot: Snapshot) -> Iterable[Vm]:
    vcenter = snapshot.vcenter.instance_uuid
    names = {machine.name for machine in machines}
    uuids = {instance_uuid(vcenter, lab.lab, name) for name in names}
    return (
        vm
        for vm in snapshot.vms
        if vm.lab == lab.lab or vm.name in names or vm.instance_uuid in uuids
    )


def _vm(vm: Vm) -> list[str]:
    """Return what matters of a VM of the lab, or of one that has a machine's name."""
    return [
        vm.id,
        vm.name,
        vm.path,
        vm.instance_uuid,
        json.dumps(dict(vm.stamps), sort_keys=True),
        vm.power,
        vm.host_id or "",
        vm.network or "",
        str(vm.cpus),
        str(vm.memory),
        json.dumps([asdict(gpu) for gpu in vm.gpus]),
        json.dumps(dict(vm.settings), sort_keys=True),
    ]
