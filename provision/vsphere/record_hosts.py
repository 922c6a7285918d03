"""Hosts and cards as entries of a world file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyVmomi import vim

from provision.gpu import profiles
from provision.gpu.catalogue import CardModel, catalogue
from provision.gpu.types import CardMode, VgpuMode
from provision.plan.snapshot import Card, Host
from provision.vsphere import host_reader
from provision.vsphere.collector import Found
from provision.vsphere.record_names import Names

HOST_PATHS = (
    *host_reader.HOST_PATHS,
    "parent",
    "summary.hardware.numCpuCores",
    "summary.hardware.numCpuPkgs",
    "capability.deviceRebindWithoutRebootSupported",
)
MIB = 2**20


def mib(size: int) -> str:
    """Return a size in bytes as a world file has it, rounded down to whole MiB."""
    count = max(1, size // MIB)
    return f"{count} MiB" if count % 1024 else f"{count // 1024} GiB"


def host_entry(
    found: Found,
    host: Host,
    cards: Sequence[dict[str, Any]],
    groups: Mapping[str, dict[str, Any]],
    places: dict[str, list[str]],
) -> dict[str, Any]:
    """Return the entry of a host; what is as in every world file is left out.

    Args:
        found: The host with `HOST_PATHS`.
        host: The same as plain values.
        cards: The entries of its cards.
        groups: The entries of its device groups, by name.
        places: `datastores` and `networks` that it has, where it does not have all.
    """
    graphics = found.get("config.graphicsConfig")
    entry: dict[str, Any] = {
        "cpus": found.get("summary.hardware.numCpuCores"),
        "sockets": found.get("summary.hardware.numCpuPkgs"),
        "memory": mib(host.memory) if host.memory else None,
        "policy": host.policy.value,
        "graphics": "shared" if graphics is not None and not host.shared_direct else None,
        "connection": host.connection.value if host.connection != "connected" else None,
        "maintenance": host.in_maintenance or None,
        "rebind": found.get("capability.deviceRebindWithoutRebootSupported") or None,
        **places,
        "cards": list(cards) or None,
        "device_groups": dict(groups) or None,
    }
    return {key: value for key, value in entry.items() if value is not None}


def card_entries(
    found: Found, host: Host, names: Names
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Return the entries of a host's cards, and the cards that vdl knows nothing of, by name."""
    offered = found.get("config.sharedPassthruGpuTypes") or ()
    functions = _virtual_functions(found)
    entries: list[dict[str, Any]] = []
    unknown: dict[str, int] = {}
    for card in host.cards:
        model = catalogue().by_pci(card.vendor_id, card.device_id)
        if model is None:
            unknown[card.name] = unknown.get(card.name, 0) + 1
        else:
            entry = _card(card, model, offered, names)
            if count := functions.get(card.address):
                entry["virtual_functions"] = count
            entries.append(entry)
    return entries, unknown


def _virtual_functions(found: Found) -> dict[str, int]:
    """Return how many SR-IOV virtual functions each device of a host shows now, by address."""
    return {
        info.id: info.numVirtualFunction
        for info in found.get("config.pciPassthruInfo", ())
        if isinstance(info, vim.host.SriovInfo)
    }


def _card(card: Card, model: CardModel, offered: Iterable[str], names: Names) -> dict[str, Any]:
    board = _board(model, offered)
    label = names.give("label", f"label/{card.label}", card.label) if card.label else None
    waits = card.mode is CardMode.PASSTHROUGH and not card.passthrough_active
    entry: dict[str, Any] = {
        "model": model.key,
        "address": card.address.lower(),
        "mode": card.mode.value,
        "vgpu_mode": _vgpu_mode(card),
        "numa": card.numa_node,
        "active": False if waits else None,
        "label": label,
        "device": f"{card.device_id:04x}" if card.device_id != model.device_ids[0] else None,
        "board": board if board and board != model.boards[0] else None,
    }
    return {key: value for key, value in entry.items() if value is not None}


def _vgpu_mode(card: Card) -> str | None:
    """Return how a card is divided; before 8.0.3 no host tells, but its vGPUs do."""
    if card.mode is not CardMode.SHARED:
        return None
    held = (profiles.parse(use.profile) for use in card.uses if use.profile)
    if card.vgpu_mode is VgpuMode.MIG or any(name is not None and name.mig for name in held):
        return "mig"
    return card.vgpu_mode.value


def _board(model: CardModel, offered: Iterable[str]) -> str | None:
    """Return which form of a model a host has, after the profiles that it offers."""
    names = {parsed.gpu for name in offered if (parsed := profiles.parse(name)) is not None}
    return next((board for board in model.boards if board in names), None)
