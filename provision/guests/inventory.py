"""The lab as an Ansible inventory: pure data in the shape of `ansible-inventory --list`.

Every text that comes from vCenter is checked before it becomes a variable, because Ansible
takes inventory variables for Jinja templates.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from provision.errors import VdlError
from provision.guests.machines import Guest, guests_of
from provision.guests.variables import own_variables
from provision.plan.snapshot import Card, GpuDevice, Host, Vm
from provision.spec.model import Guest as GuestSpec
from provision.spec.model import Lab

Inventory = dict[str, Any]

MIB = 2**20
ALL_MACHINES = "vdl"
GPU_KINDS = ("vgpu", "passthrough", "group")
_LONGEST_TEXT = 200


def build_inventory(
    lab_name: str,
    vms: Iterable[Vm],
    lab: Lab | None = None,
    *,
    hosts: Iterable[Host] = (),
    simulated: bool = False,
) -> Inventory:
    """Return the lab's guests in the shape of `ansible-inventory --list`.

    Machines that can't be logged in to are left out; `machines.guests_of` says why. With
    `hosts`, each machine tells its ESXi host, the model of its card and its framebuffer too.

    Raises:
        VdlError: vCenter gives a name that a template engine could take for an expression.
    """
    guests, _ = guests_of(lab_name, vms, simulated=simulated)
    return inventory_of(lab_name, guests, lab, hosts=hosts, simulated=simulated)


def inventory_of(
    lab_name: str,
    guests: Iterable[Guest],
    lab: Lab | None = None,
    *,
    hosts: Iterable[Host] = (),
    simulated: bool = False,
    shared: Mapping[str, Any] | None = None,
) -> Inventory:
    """Return the inventory of guests that `machines.guests_of` found.

    `shared` are variables of all of them; they come from this computer, not from vCenter.
    """
    user = lab.guest.user if lab else str(GuestSpec.model_fields["user"].default)
    by_id = {host.id: host for host in hosts}
    groups: dict[str, list[str]] = defaultdict(list)
    hostvars: dict[str, dict[str, Any]] = {}
    for guest in guests:
        host = by_id.get(guest.vm.host_id or "")
        variables = {
            "ansible_host": guest.address,
            "ansible_port": guest.port,
            "ansible_user": user,
            "vdl_lab": lab_name,
            "vdl_machine": guest.name,
            "vdl_group": guest.group,
            "vdl_vm_id": guest.vm.id,
            "vdl_simulated": simulated,
            **({"vdl_host": host.name} if host else {}),
            **gpu_variables(guest.vm, host),
        }
        hostvars[guest.name] = {k: _checked(guest.name, k, v) for k, v in variables.items()}
        if simulated:
            hostvars[guest.name] |= own_variables(guest.address)
        for group in _groups(hostvars[guest.name]):
            groups[group].append(guest.name)
    inventory: Inventory = {
        "_meta": {"hostvars": hostvars},
        "all": {"children": sorted(["ungrouped", *groups])},
        **{name: {"hosts": groups[name]} for name in sorted(groups)},
    }
    if shared and ALL_MACHINES in groups:
        inventory[ALL_MACHINES]["vars"] = dict(shared)
    return inventory


def gpu_variables(vm: Vm, host: Host | None) -> dict[str, Any]:
    """Return what is known of a VM's GPUs; other PCI devices are no GPUs and don't count.

    `vdl_gpu_cards` are PCI addresses on the host, `vdl_framebuffer_mib` is that of one GPU as the
    guest sees it.
    """
    gpus = [gpu for gpu in vm.gpus if gpu.kind in GPU_KINDS]
    if not gpus:
        return {"vdl_gpu_mode": "none", "vdl_gpu_count": 0}
    mode = "group" if any(_in_group(gpu) for gpu in gpus) else gpus[0].kind
    cards = _cards(vm, host)
    profile = _profile(gpus[0], host)
    known = {
        "vdl_gpu_profile": profile,
        "vdl_gpu_group": next((gpu.value for gpu in gpus if gpu.kind == "group"), None),
        "vdl_gpu_model": cards[0].name if cards else None,
        "vdl_gpu_cards": [card.address for card in cards] or None,
        "vdl_framebuffer_mib": _framebuffer(profile, host, cards) // MIB or None,
    }
    told = {name: value for name, value in known.items() if value is not None}
    return {"vdl_gpu_mode": mode, "vdl_gpu_count": len(gpus), **told}


def _in_group(gpu: GpuDevice) -> bool:
    return gpu.kind == "group" or gpu.group_key is not None


def _cards(vm: Vm, host: Host | None) -> list[Card]:
    """Return the cards that a VM has, or has a part of."""
    cards = host.cards if host else ()
    return [card for card in cards if any(use.vm_id == vm.id for use in card.uses)]


def _profile(gpu: GpuDevice, host: Host | None) -> str | None:
    """Return the vGPU profile of a device; of a device group, the one that its members have."""
    if gpu.kind == "vgpu":
        return gpu.value
    groups = host.device_groups if host and gpu.kind == "group" else ()
    members = (member for group in groups if group.name == gpu.value for member in group.members)
    return next((member.value for member in members if member.kind == "vgpu"), None)


def _framebuffer(profile: str | None, host: Host | None, cards: list[Card]) -> int:
    """Return bytes of one GPU as the guest will see it; 0 where it is not known."""
    if profile is None:
        return cards[0].framebuffer if cards else 0
    found = (one.framebuffer for one in (host.profiles if host else ()) if one.name == profile)
    return next(found, 0)


def _groups(variables: Mapping[str, Any]) -> list[str]:
    groups = [
        ALL_MACHINES,
        f"lab_{variables['vdl_lab']}",
        f"group_{variables['vdl_group']}",
        f"gpu_{variables['vdl_gpu_mode']}",
    ]
    if model := variables.get("vdl_gpu_model"):
        groups.append(f"model_{model}")
    return [group_name(group) for group in groups]


def group_name(text: str) -> str:
    """Return a name that Ansible takes for a group without a warning: `model_nvidia_a100_80gb`."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _checked(machine: str, variable: str, value: object) -> object:
    if isinstance(value, list):
        return [_checked(machine, variable, one) for one in value]
    if not isinstance(value, str):
        return value
    if value.isprintable() and len(value) <= _LONGEST_TEXT and not set(value) & set("{}"):
        return value
    raise VdlError(
        f"vCenter's text for {variable} can't go into an inventory",
        subject=machine,
        why=f"it holds braces or control characters, or is too long: {value[:60]!r}",
        fix="rename the object in vCenter",
    )


def static_inventory(inventory: Inventory) -> Inventory:
    """Turn the `--list` shape into that of a static JSON or YAML inventory file.

    Ansible reads the `--list` shape from scripts only, which costs a process more.
    """
    children = {
        name: {"hosts": dict.fromkeys(group["hosts"]), "vars": group.get("vars", {})}
        for name, group in inventory.items()
        if name not in {"_meta", "all"}
    }
    return {"all": {"hosts": inventory["_meta"]["hostvars"], "children": children}}
