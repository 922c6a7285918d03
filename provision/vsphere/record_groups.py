"""Vendor device groups and vGPU profiles as a world file has them."""

from __future__ import annotations

import re
from typing import Any

from provision.gpu import profiles
from provision.gpu.catalogue import catalogue
from provision.plan.snapshot import DeviceGroupInfo
from provision.vsphere.record_names import Names

# How NVIDIA's host software calls a group of cards joined by NVLink.
USUAL = re.compile(r"Nvidia:\d+@(.+)%NVLink")


def group_entry(group: DeviceGroupInfo) -> dict[str, Any]:
    """Return the entry of a device group.

    Raises:
        ValueError: A world file can't describe it; the message says why.
    """
    names = {device.value for device in group.members if device.kind == "vgpu"}
    if len(names) != 1 or any(device.kind != "vgpu" for device in group.members):
        raise ValueError("it is not made of vGPUs of one profile")
    return {"profile": known_profile(names.pop()), "members": len(group.members)}


def group_name(name: str, names: Names) -> str:
    """Return what a recording calls a device group.

    NVIDIA's names for groups of NVLink cards say no more than the cards do, and stay.
    """
    if is_usual_group(name):
        return name
    return names.give("group", f"group/{name}", name)


def is_usual_group(name: str) -> bool:
    """Whether the simulator offers a group of this name by itself, where the cards are there."""
    if (usual := USUAL.fullmatch(name)) is None:
        return False
    known = catalogue().profile(usual[1])
    return known is not None and known[1].name == usual[1]


def known_profile(name: str) -> str:
    """Return a profile under vdl's name, or the compute profile of the same size.

    Raises:
        ValueError: There is none.
    """
    if known := catalogue().profile(name):
        return known[1].name
    parsed = profiles.parse(name)
    near = f"{parsed.gpu}-{parsed.size_gb}c" if parsed and not parsed.mig else ""
    if known := catalogue().profile(near):
        return known[1].name
    raise ValueError(f"its profile {name} is not known to vdl")
