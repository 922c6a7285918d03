"""Hosts and their cards as plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyVmomi import vim

from provision.gpu.catalogue import NVIDIA, catalogue
from provision.gpu.types import AssignmentPolicy, CardMode, VgpuMode
from provision.plan.snapshot import (
    Card,
    CardUse,
    Connection,
    Host,
    NumaNode,
    VgpuProfileInfo,
)
from provision.vsphere.collector import Found, moid
from provision.vsphere.devices import MASK

HOST_PATHS = (
    "name",
    "datastore",
    "network",
    "runtime.connectionState",
    "runtime.inMaintenanceMode",
    "summary.hardware.numCpuThreads",
    "hardware.memorySize",
    "hardware.pciDevice",
    "hardware.numaInfo",
    "config.product.apiVersion",
    "config.graphicsConfig",
    "config.graphicsInfo",
    "config.pciPassthruInfo",
    "config.sharedPassthruGpuTypes",
    "config.assignableHardwareBinding",
)
DISPLAY_CLASS = 0x03
DIRECT = "direct"
GIB = 2**30


def is_card(device: Any) -> bool:
    """Whether a PCI device is an NVIDIA display controller."""
    return bool(
        (device.vendorId & MASK) == NVIDIA and (device.classId & MASK) >> 8 == DISPLAY_CLASS
    )


def cards_among(devices: Iterable[Any], passthru: Iterable[Any]) -> list[Any]:
    """Return the cards among PCI devices, by address: physical functions and no virtual ones.

    A host that gives vGPUs by SR-IOV shows 16 or 32 virtual functions beside each card, of the
    card's own ids and class. A card is alone on its bus, as device 0 and function 0 (a PCI
    Express link has one device); its virtual functions follow it there (PCI Express Base
    Specification, "SR-IOV", First VF Offset; govc's `gpu.host.info` tells them by the subsystem
    id 0, which a card may have as well). Bus 0 is the root's own and has many devices.

    Args:
        devices: `hardware.pciDevice`.
        passthru: `config.pciPassthruInfo`; its `HostSriovInfo` names functions that have others.
    """
    displays = sorted((d for d in devices if is_card(d)), key=lambda device: str(device.id))
    physical = {_bus(d.id): d.id for d in displays if _alone(d.id)}
    physical |= {
        _bus(info.id): info.id
        for info in passthru
        if isinstance(info, vim.host.SriovInfo) and info.numVirtualFunction
    }
    return [d for d in displays if physical.get(_bus(d.id), d.id) == d.id]


def _alone(address: str) -> bool:
    """Whether an address is that of a device which has its bus to itself."""
    return address[5:7] != "00" and address[8:] == "00.0"


def _bus(address: str) -> str:
    """Return domain and bus of `0000:3b:00.0`."""
    return address[:7]


def holders(host: Found) -> set[str]:
    """Return the ids of the VMs that hold a device of the host, whatever it is."""
    shared = {moid(vm) for info in host.get("config.graphicsInfo", ()) for vm in info.vm or ()}
    bound = {moid(b.vm) for b in host.get("config.assignableHardwareBinding", ()) if b.vm}
    return shared | bound


def host(
    found: Found,
    *,
    reserved: int,
    profiles: Sequence[VgpuProfileInfo],
    vgpus: Mapping[str, Sequence[str]],
    held: Mapping[str, Sequence[str]],
) -> Host:
    """Return a host.

    Args:
        found: The host with `HOST_PATHS`.
        reserved: Bytes that its powered-on VMs have reserved.
        profiles: What the cluster knows of vGPU profiles.
        vgpus: Profiles of the vGPUs of each powered-on VM, by VM id.
        held: Addresses of passthrough cards in the backings of each powered-on VM, by VM id.
    """
    graphics = found.get("config.graphicsConfig")
    offered = found.get("config.sharedPassthruGpuTypes") or ()
    cards = _cards(found, vgpus, held)
    return Host(
        id=found.id,
        name=found.get("name", found.id),
        connection=Connection(found.get("runtime.connectionState", "disconnected")),
        in_maintenance=bool(found.get("runtime.inMaintenanceMode")),
        cpus=found.get("summary.hardware.numCpuThreads", 0),
        memory=found.get("hardware.memorySize", 0),
        memory_reserved=reserved,
        api_version=found.get("config.product.apiVersion") or "",
        shared_direct=_shared_direct(graphics),
        policy=_policy(graphics),
        cards=cards,
        profiles=_profiles(offered, profiles),
        datastores=tuple(moid(ref) for ref in found.get("datastore", ())),
        networks=tuple(moid(ref) for ref in found.get("network", ())),
        vgpu_manager=bool(offered) or not (_shared_direct(graphics) and _any_shared(cards)),
        numa_nodes=_numa_rooms(found.get("hardware.numaInfo")),
    )


def _any_shared(cards: Iterable[Card]) -> bool:
    """Whether a card that vGPUs could come from is shared now."""
    return any(
        card.mode is CardMode.SHARED
        and card.passthrough_active
        and model is not None
        and model.vgpu
        for card in cards
        for model in [catalogue().by_pci(card.vendor_id, card.device_id)]
    )


def _shared_direct(graphics: Any) -> bool:
    return graphics is not None and graphics.hostDefaultGraphicsType == "sharedDirect"


def _policy(graphics: Any) -> AssignmentPolicy:
    if graphics is None:
        return AssignmentPolicy.PERFORMANCE
    return AssignmentPolicy(graphics.sharedPassthruAssignmentPolicy)


def _profiles(
    offered: Iterable[str], known: Sequence[VgpuProfileInfo]
) -> tuple[VgpuProfileInfo, ...]:
    by_name = {profile.name: profile for profile in known if profile.framebuffer}
    return tuple(by_name.get(name) or _from_catalogue(name) for name in sorted(offered))


def _from_catalogue(name: str) -> VgpuProfileInfo:
    entry = catalogue().profile(name)
    if entry is None:
        return VgpuProfileInfo(name, 0)
    return VgpuProfileInfo(name, entry[1].framebuffer_mib * 2**20, entry[1].mig)


def _cards(
    found: Found, vgpus: Mapping[str, Sequence[str]], held: Mapping[str, Sequence[str]]
) -> tuple[Card, ...]:
    passed = found.get("config.pciPassthruInfo", ())
    devices = cards_among(found.get("hardware.pciDevice", ()), passed)
    if not devices:
        return ()
    graphics = {info.pciId: info for info in found.get("config.graphicsInfo", ())}
    passthru = {info.id: info for info in passed}
    shared_direct = _shared_direct(found.get("config.graphicsConfig"))
    nodes = _numa_nodes(found.get("hardware.numaInfo"))
    uses = _uses(found, vgpus, held, {device.id for device in devices})
    return tuple(
        _card(
            device,
            graphics.get(device.id),
            passthru.get(device.id),
            nodes.get(device.id),
            tuple(uses.get(device.id, ())),
            shared_direct=shared_direct,
        )
        for device in devices
    )


def _card(
    device: Any,
    graphics: Any,
    passthru: Any,
    node: int | None,
    uses: tuple[CardUse, ...],
    *,
    shared_direct: bool,
) -> Card:
    return Card(
        address=device.id,
        vendor_id=device.vendorId & MASK,
        device_id=device.deviceId & MASK,
        name=device.deviceName,
        mode=_mode(graphics, passthru, shared_direct=shared_direct),
        vgpu_mode=_vgpu_mode(graphics),
        passthrough_active=passthru is None or passthru.passthruEnabled == passthru.passthruActive,
        framebuffer=_framebuffer(device, graphics),
        numa_node=node,
        label=(passthru.hardwareLabel or None) if passthru else None,
        uses=uses,
    )


def _mode(graphics: Any, passthru: Any, *, shared_direct: bool) -> CardMode:
    """Return what a card is set to, which a pending reboot may not have made real yet.

    A card in vSGA's `shared` type counts as shared where the whole host is set so: then one
    change of the host's setting is what it takes. On a host in shared direct, such a card is
    an exception that somebody made.
    """
    if passthru is not None and passthru.passthruEnabled:
        return CardMode.PASSTHROUGH
    kind = graphics.graphicsType if graphics is not None else None
    if kind == "sharedDirect" or (kind == "shared" and not shared_direct):
        return CardMode.SHARED
    return CardMode.NONE


def _vgpu_mode(graphics: Any) -> VgpuMode:
    mode = graphics.vgpuMode if graphics is not None else None
    return VgpuMode(mode) if mode in set(VgpuMode) else VgpuMode.SAME_SIZE


def _framebuffer(device: Any, graphics: Any) -> int:
    if graphics is not None and graphics.memorySizeInKB:
        return int(graphics.memorySizeInKB) * 1024
    model = catalogue().by_pci(device.vendorId, device.deviceId)
    return model.framebuffer_gib * GIB if model else 0


def _numa_rooms(info: Any) -> tuple[NumaNode, ...]:
    """Return what belongs to each NUMA node; nothing where the host is one node."""
    nodes = () if info is None else info.numaNode or ()
    return tuple(
        NumaNode(node.typeId, len(node.cpuID), node.memorySize) for node in nodes if len(nodes) > 1
    )


def _numa_nodes(info: Any) -> dict[str, int]:
    if info is None:
        return {}
    return {address: node.typeId for node in info.numaNode or () for address in node.pciId or ()}


def _uses(
    found: Found,
    vgpus: Mapping[str, Sequence[str]],
    held: Mapping[str, Sequence[str]],
    cards: set[str],
) -> dict[str, list[CardUse]]:
    uses: dict[str, list[CardUse]] = {}
    for vm, addresses in _whole_cards(found, held, cards).items():
        for address in addresses:
            uses.setdefault(address, []).append(CardUse(vm))
    for address, vm, profile in _parts(found, vgpus):
        uses.setdefault(address, []).append(CardUse(vm, profile))
    return uses


def _whole_cards(
    found: Found, held: Mapping[str, Sequence[str]], cards: set[str]
) -> dict[str, set[str]]:
    """Return the passthrough cards of each VM.

    Three places may tell, none of them on every release: cards listed as `direct` with their
    VM, the host's bindings (which may name vGPUs too), and the backings of the VMs.
    """
    whole: dict[str, set[str]] = {}
    infos = found.get("config.graphicsInfo", ())
    for info in infos:
        for ref in (info.vm or ()) if info.graphicsType == DIRECT else ():
            whole.setdefault(moid(ref), set()).add(info.pciId)
    for binding in found.get("config.assignableHardwareBinding", ()):
        # `pciId` came with a late API version; the instance id contains the address.
        address = next((a for a in cards if a in (binding.pciId or binding.instanceId)), None)
        if address is not None and binding.vm is not None:
            whole.setdefault(moid(binding.vm), set()).add(address)
    shared = {info.pciId for info in infos if info.vm and info.graphicsType != DIRECT}
    for vm, addresses in held.items():
        if mine := set(addresses) & cards:
            whole.setdefault(vm, set()).update(mine)
    return {vm: addresses - shared for vm, addresses in whole.items()}


def _parts(
    found: Found, vgpus: Mapping[str, Sequence[str]]
) -> Iterable[tuple[str, str, str | None]]:
    """Yield card, VM and profile of each vGPU.

    The host says which VMs are on a card, the VM which profiles it has, and nobody which
    profile is on which card. All profiles of a VM have one size on today's cards, so they are
    dealt out one by one over the VM's cards.
    """
    places: dict[str, list[str]] = {}
    for info in found.get("config.graphicsInfo", ()):
        for ref in (info.vm or ()) if info.graphicsType != DIRECT else ():
            places.setdefault(moid(ref), []).append(info.pciId)
    for vm, addresses in places.items():
        profiles: Sequence[str | None] = vgpus.get(vm) or (None,)
        for index in range(max(len(profiles), len(addresses))):
            address = addresses[index % len(addresses)]
            yield address, vm, profiles[index % len(profiles)]


def reserved_by_host(vms: Iterable[tuple[str | None, int]]) -> Counter[str]:
    """Return the bytes reserved on each host, from host id and reservation of powered-on VMs."""
    total: Counter[str] = Counter()
    for host_id, reservation in vms:
        if host_id is not None:
            total[host_id] += reservation
    return total
