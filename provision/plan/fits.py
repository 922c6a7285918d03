"""What the hosts' GPUs are, and how much more goes onto them: the data behind `vdl gpus`."""

from __future__ import annotations

from dataclasses import dataclass

from provision.errors import UsageError
from provision.gpu.catalogue import Profile, catalogue, stem_of
from provision.gpu.types import AssignmentPolicy, CardMode, VgpuMode
from provision.plan.hoststate import is_ready
from provision.plan.names import listed
from provision.plan.needs import Unknown, VgpuNeed, framebuffer_mib, model_of, resolve
from provision.plan.poweron import room
from provision.plan.refusals import Reach, unusable
from provision.plan.request import Request
from provision.plan.shared import SharedCards, load_of
from provision.plan.snapshot import Card, Host, Snapshot
from provision.spec.model import VgpuRequest


@dataclass(frozen=True, slots=True)
class GpuRow:
    """One card of one host.

    Attributes:
        host: Name of the host.
        address: PCI address of the card.
        model: Key of the model in the catalogue, else what the host calls the card.
        mode: What the host lets the card be used for.
        vgpu_mode: How a shared card is divided; None for others.
        policy: Which card of the host a new vGPU goes to; None for cards that are not shared.
        used_by: `VM` or `VM (PROFILE)` for each use.
        free: What is free of it, as a person reads it.
        framebuffer_gib: Framebuffer of the card.
        profiles: How many more vGPUs of each profile the card takes; only those it takes.
        label: Its hardware label, by which a lab file can ask for it.
    """

    host: str
    address: str
    model: str
    mode: CardMode
    vgpu_mode: VgpuMode | None
    policy: AssignmentPolicy | None
    used_by: tuple[str, ...]
    free: str
    framebuffer_gib: int
    profiles: tuple[tuple[str, int], ...] = ()
    label: str | None = None


def gpus_view(snapshot: Snapshot) -> tuple[GpuRow, ...]:
    """Return a row per card, by host and address."""
    names = {vm.id: vm.name for vm in snapshot.vms}
    return tuple(
        _row(host, card, names)
        for host in sorted(snapshot.hosts, key=lambda host: host.name)
        for card in sorted(host.cards, key=lambda card: card.address)
    )


def fits(snapshot: Snapshot, wanted: str) -> tuple[tuple[str, int], ...]:
    """Return how many more of a profile or a card model each host takes, by host.

    vGPUs are counted one by one as the host would place them, cards as they are free. Memory
    is not counted: it depends on the machine.

    Args:
        snapshot: The world.
        wanted: A vGPU profile, or a card model.

    Raises:
        UsageError: Neither a profile nor a model is called that.
    """
    models = catalogue().matching(wanted)
    need = resolve(VgpuRequest(vgpu=wanted), snapshot.hosts) if not models else None
    if isinstance(need, Unknown):
        near = listed(catalogue().nearest(wanted))
        raise UsageError(
            "no profile and no card model is called that",
            subject=wanted,
            fix=f"did you mean {near}?" if near else "`vdl gpus` shows what the hosts have",
        )
    keys = {model.key for model in models}
    return tuple(
        (host.name, _more(host, need) if isinstance(need, VgpuNeed) else _free_cards(host, keys))
        for host in sorted(snapshot.hosts, key=lambda host: host.name)
    )


def _more(host: Host, need: VgpuNeed) -> int:
    if unusable(host, Reach()) is not None:
        return 0
    cards = SharedCards.of(host)
    count = 0
    while cards.add(Request(f"one more {count}", "", 0, 0, need), need):
        count += 1
    return count


def _free_cards(host: Host, keys: set[str]) -> int:
    if unusable(host, Reach()) is not None:
        return 0
    return sum(
        is_ready(card)
        and not card.uses
        and (model := model_of(card)) is not None
        and model.key in keys
        for card in host.cards
    )


def _row(host: Host, card: Card, names: dict[str, str]) -> GpuRow:
    model = model_of(card)
    shared = card.mode is CardMode.SHARED
    profiles = _profiles(host, card) if shared else ()
    uses = (
        names.get(use.vm_id, use.vm_id) + (f" ({use.profile})" if use.profile else "")
        for use in card.uses
    )
    return GpuRow(
        host=host.name,
        address=card.address,
        model=model.key if model else card.name,
        mode=card.mode,
        vgpu_mode=card.vgpu_mode if shared else None,
        policy=host.policy if shared else None,
        used_by=tuple(uses),
        free=_free(host, card, profiles),
        framebuffer_gib=framebuffer_mib(card) // 1024,
        profiles=profiles,
        label=card.label,
    )


def _profiles(host: Host, card: Card) -> tuple[tuple[str, int], ...]:
    model = model_of(card)
    if model is None or not host.shared_direct:
        return ()
    load = load_of(card)
    # Of a model's forms (PCIe, SXM), each with profiles of its own, a host has one.
    offered = {stem_of(offer.name) for offer in host.profiles}
    known = [p for p in model.profiles if not offered or stem_of(p.name) in offered]
    counts = ((profile, room(load, profile)) for profile in sorted(known, key=_largest))
    return tuple((profile.name, count) for profile, count in counts if count)


def _largest(profile: Profile) -> tuple[int, str]:
    return -profile.framebuffer_mib, profile.name


def _free(host: Host, card: Card, profiles: tuple[tuple[str, int], ...]) -> str:
    """Return what a person may hope for: the whole card, some vGPUs, or nothing and why."""
    if (reason := _closed(host, card)) is not None:
        return f"no: {reason}"
    if not card.uses:
        return "whole card"
    return ", ".join(f"{count} x {name}" for name, count in profiles) or "nothing"


def _closed(host: Host, card: Card) -> str | None:
    """Return why nobody can have the card, whoever else holds it."""
    if (refused := unusable(host, Reach())) is not None:
        return f"host {refused.text}"
    if card.mode is CardMode.NONE:
        return "neither shared nor passthrough"
    if not card.passthrough_active:
        return "host must reboot"
    if card.mode is CardMode.SHARED and not host.shared_direct:
        return "host is not in shared direct graphics mode"
    return None
