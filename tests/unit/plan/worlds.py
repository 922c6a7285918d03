"""Small worlds for tests of the planner, from the compact form of `tests/data/plan/*.yaml`.

What a world leaves out has a default: hosts with 64 CPUs and 1 TiB, A100-80 cards in shared
mode, a fitting template, datastore and network. Addresses count from 0000:10:00.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provision.gpu.catalogue import catalogue
from provision.gpu.types import AssignmentPolicy, CardMode, VgpuMode
from provision.plan.identity import instance_uuid, stamps
from provision.plan.snapshot import (
    Card,
    CardUse,
    Connection,
    Datastore,
    DeviceGroupInfo,
    GpuDevice,
    Host,
    Network,
    NumaNode,
    Power,
    Snapshot,
    Template,
    VCenterIdentity,
    VgpuProfileInfo,
    Vm,
)
from provision.spec.model import Lab, Machine, MachineGroup, PassthroughRequest, VgpuRequest
from provision.spec.units import Size

VCENTER = "52d1b2f4-0000-4000-8000-000000000001"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f tester"
FIRST_BUS = 0x10

Tree = Mapping[str, Any]


def lab(tree: Tree) -> Lab:
    """Return a lab of which only the machines must be given."""
    basis = {
        "lab": "vroom",
        "vcenter": {"datacenter": "DC0", "cluster": "gpu", "datastore": "vsan"},
        "template": "ubuntu-24.04",
        "guest": {"ssh_key": KEY},
        "machines": {"cpu": {}},
    }
    return Lab.model_validate({**basis, **tree})


def snapshot(tree: Tree, of: Lab) -> Snapshot:
    """Return the world; a VM with `of` is a machine of the lab, all others are strangers."""
    machines = {machine.name: machine for machine in of.resolve()}
    vms = tuple(_vm(name, vm or {}, machines) for name, vm in tree.get("vms", {}).items())
    hosts = tuple(_host(name, host or {}, tree) for name, host in tree.get("hosts", {}).items())
    store = tree.get("datastore", {})
    return Snapshot(
        vcenter=VCenterIdentity(VCENTER, tree.get("api", "8.0.3.0"), "vcsa"),
        datacenter="DC0",
        cluster="gpu",
        datacenter_id="datacenter-1",
        cluster_id=tree.get("cluster_id", "cluster-1"),
        resource_pool_id="pool-1",
        vm_folder_id="folder-1",
        hosts=hosts,
        vms=vms,
        templates=tuple(_template(t or {}) for t in tree.get("templates", [{}])),
        datastores=(
            Datastore(
                "datastore-1",
                store.get("name", "vsan"),
                Size.parse(store.get("free", "20 TiB")),
                store.get("accessible", True),
            ),
        ),
        networks=tuple(Network(f"net-{n}", n) for n in tree.get("networks", ["VM Network"])),
        privileges_missing=tuple(tree.get("privileges_missing", ())),
        privileges_missing_to_move=tuple(tree.get("privileges_missing_to_move", ())),
    )


def host(name: str, cards: tuple[Card, ...] = (), **tree: Any) -> Host:
    """Return a host that reaches everything."""
    return Host(
        id=f"host-{name}",
        name=name,
        connection=Connection(tree.get("connection", "connected")),
        in_maintenance=tree.get("maintenance", False),
        cpus=tree.get("cpus", 64),
        memory=Size.parse(tree.get("memory", "1 TiB")),
        memory_reserved=Size.parse(tree.get("reserved", "0 MiB")),
        api_version=tree.get("api", "8.0.3"),
        shared_direct=tree.get("shared_direct", True),
        policy=AssignmentPolicy(tree.get("policy", "performance")),
        cards=cards,
        profiles=tuple(
            VgpuProfileInfo(p, Size.parse(size)) for p, size in tree.get("profiles", {}).items()
        ),
        device_groups=_groups(tree.get("groups", ())),
        max_vgpus_per_vm=tree.get("max_vgpus", 4),
        vgpu_manager=tree.get("vgpu_manager", True),
        datastores=tuple(tree.get("datastores", ["datastore-1"])),
        networks=tuple(tree.get("networks", ["net-VM Network"])),
        numa_nodes=tuple(
            NumaNode(n, node["cpus"], Size.parse(node["memory"]))
            for n, node in enumerate(tree.get("numa_nodes", ()))
        ),
    )


def _groups(tree: Any) -> tuple[DeviceGroupInfo, ...]:
    """Return device groups: names alone, or names with `KIND VALUE` of each device."""
    named = tree if isinstance(tree, Mapping) else dict.fromkeys(tree, ())
    return tuple(
        DeviceGroupInfo(name, tuple(GpuDevice(0, *text.split(" ", 1)) for text in texts))
        for name, texts in named.items()
    )


def card(slot: int = 0, uses: tuple[CardUse, ...] = (), **tree: Any) -> Card:
    """Return a card in the given slot of its host."""
    model = catalogue().model(tree.get("model", "A100-80"))
    assert model is not None
    return Card(
        address=tree.get("address", f"0000:{FIRST_BUS + slot:02x}:00.0"),
        vendor_id=model.vendor_id,
        device_id=tree.get("device", model.device_ids[0]),
        name=tree.get("name", model.name),
        mode=CardMode(tree.get("mode", "shared")),
        vgpu_mode=VgpuMode(tree.get("vgpu_mode", "sameSize")),
        passthrough_active=tree.get("active", True),
        framebuffer=Size.parse(tree.get("framebuffer", f"{model.framebuffer_gib} GiB")),
        numa_node=tree.get("numa"),
        label=tree.get("label"),
        uses=uses,
    )


def _host(name: str, tree: Tree, world: Tree) -> Host:
    entries = tree.get("cards", ())
    if isinstance(entries, Mapping):
        entries = [entries] * entries.get("count", 1)
    cards = []
    for slot, entry in enumerate(entries):
        plain = card(slot, **entry)
        cards.append(card(slot, _uses(name, plain, world), **entry))
    return host(name, tuple(cards), **{k: v for k, v in tree.items() if k != "cards"})


def _uses(host_name: str, plain: Card, world: Tree) -> tuple[CardUse, ...]:
    held = [
        CardUse(f"vm-{name}", use.get("profile"))
        for name, vm in world.get("vms", {}).items()
        for use in (vm or {}).get("holds", ())
        if vm.get("host") == host_name and use["address"] == plain.address
    ]
    return tuple(held)


def _template(tree: Tree) -> Template:
    name = tree.get("name", "ubuntu-24.04")
    return Template(
        id=f"template-{name}",
        name=name,
        path=tree.get("path", f"/DC0/vm/templates/{name}"),
        firmware=tree.get("firmware", "efi"),
        hardware=tree.get("hardware", 21),
        tools=tree.get("tools", True),
        guest_id=tree.get("guest_id", "ubuntu64Guest"),
        disk=Size.parse(tree.get("disk", "20 GiB")),
        change_version=tree.get("version", "1"),
        gpus=tuple(GpuDevice(13000, "vgpu", profile) for profile in tree.get("gpus", ())),
    )


def _vm(name: str, tree: Tree, machines: Mapping[str, Machine]) -> Vm:
    machine = machines.get(tree.get("of", ""))
    if machine is None and "of" in tree:
        machine = _forgotten(tree["of"], next(iter(machines.values())))
    made = machine.model_copy(update=_as_made(tree.get("made", {}))) if machine else None
    memory = made.memory if made else Size.parse(tree.get("memory", "16 GiB"))
    gpus = [] if tree.get("bare") else _devices(made)
    uuid = instance_uuid(VCENTER, made.lab, made.name) if made else f"stranger-{name}"
    return Vm(
        id=f"vm-{name}",
        name=name,
        path=tree.get("path", f"/DC0/vm/{'vdl' if made else 'others'}/{name}"),
        instance_uuid=tree.get("uuid", uuid),
        power=Power(tree.get("power", "on")),
        host_id=f"host-{tree['host']}" if "host" in tree else None,
        cpus=made.cpus if made else 4,
        memory=memory,
        memory_reserved=memory if gpus or tree.get("holds") else 0,
        gpus=tuple(gpus),
        stamps=stamps(made) if made and tree.get("stamped", True) else {},
        question=tree.get("question"),
        network=tree.get("network"),
    )


def _forgotten(name: str, like: Machine) -> Machine:
    """Return a machine that the lab had once."""
    group, _, index = name.removeprefix(f"{like.lab}-").rpartition("-")
    return like.model_copy(update={"group": group, "index": int(index), "gpu": None})


def _as_made(changes: Tree) -> dict[str, Any]:
    """Return what the machine was when the VM was made, where that differs from now."""
    made = dict(changes)
    for key in ("memory", "disk"):
        if key in made:
            made[key] = Size.parse(made[key])
    if made.get("gpu"):
        made["gpu"] = MachineGroup.model_validate({"gpu": made["gpu"]}).gpu
    return made


def _devices(machine: Machine | None) -> list[GpuDevice]:
    gpu = machine.gpu if machine else None
    if isinstance(gpu, VgpuRequest):
        return [GpuDevice(13000 + n, "vgpu", gpu.vgpu) for n in range(gpu.count)]
    if isinstance(gpu, PassthroughRequest) and gpu.pinned:
        return [GpuDevice(13000, "passthrough", gpu.pinned[1])]
    if isinstance(gpu, PassthroughRequest):
        model = catalogue().matching(gpu.model or "A100-80")[0]
        value = f"{model.vendor_id:04x}:{model.device_ids[0]:04x}"
        keys = range(13000, 13000 + gpu.count)
        return [GpuDevice(key, "passthrough", value, label=gpu.label) for key in keys]
    return [GpuDevice(13000, "group", gpu.group)] if gpu else []
