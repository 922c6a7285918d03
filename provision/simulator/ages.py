"""What of a world file is too new for the vCenter's API version."""

from __future__ import annotations

from collections.abc import Iterator

from provision.gpu.types import VgpuMode
from provision.simulator.inventory import limits
from provision.simulator.worldmodel import Cluster, Datacenter, Machine, World

_MODES = {VgpuMode.MIXED_SIZE: limits.MIXED_SIZE_SINCE, VgpuMode.MIG: limits.MIG_SINCE}

At = tuple[str | int, ...]


def too_new(world: World) -> Iterator[tuple[At, str]]:
    """Yield the path of each value that the API version does not have, and what it needs."""
    api = world.vcenter.api
    for name, datacenter in world.datacenters.items():
        for at, machine in _machines(name, datacenter):
            yield from _machine(at, machine, api)
        for cluster_name, cluster in datacenter.clusters.items():
            yield from _cards((name, "clusters", cluster_name), cluster, api)


def _machines(name: str, datacenter: Datacenter) -> Iterator[tuple[At, Machine]]:
    for key, template in datacenter.templates.items():
        yield (name, "templates", key), template
    for cluster_name, cluster in datacenter.clusters.items():
        for key, vm in cluster.vms.items():
            yield (name, "clusters", cluster_name, "vms", key), vm


def _machine(at: At, machine: Machine, api: str) -> Iterator[tuple[At, str]]:
    newest = limits.newest_hardware(api)
    if machine.hardware > newest:
        yield (*at, "hardware"), f"API {api} has hardware versions up to {newest}"
    if machine.gpu and machine.gpu.group and not limits.has(api, limits.DEVICE_GROUPS_SINCE):
        yield (*at, "gpu"), f"device groups came with {_name(limits.DEVICE_GROUPS_SINCE)}"


def _cards(at: At, cluster: Cluster, api: str) -> Iterator[tuple[At, str]]:
    for key, host in cluster.hosts.items():
        for index, block in enumerate(host.cards):
            since = _MODES.get(block.vgpu_mode, ())
            if not limits.has(api, since):
                where = (*at, "hosts", key, "cards", index, "vgpu_mode")
                yield where, f"{block.vgpu_mode.value} came with {_name(since)}"


def _name(since: tuple[int, ...]) -> str:
    return f"API {'.'.join(map(str, since))}"
