"""What fits on a card, in which vGPU mode, and which card a new vGPU goes to.

Pure and cheap: placement asks hundreds of thousands of times. In mixedSize mode a vGPU also
needs a free placement inside the framebuffer; where the hypervisor has put the others can't be
seen from outside, so only the sum and the published maxima are checked there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from provision.gpu import profiles
from provision.gpu.catalogue import MigGeometry, Profile, catalogue, stem_of
from provision.gpu.mig import arrange
from provision.gpu.types import AssignmentPolicy, VgpuMode


@dataclass(frozen=True, slots=True)
class CardLoad:
    """A card in shared mode and the names of the vGPU profiles that it holds now.

    `profiles` are in the order in which they came, as far as it is known: MIG instances stay
    where they were put, so the same ones leave different room in another order.
    `model` is the key of its model in the catalogue; with it, profiles of other GPUs are
    refused, which matters on a host with unlike cards.
    """

    address: str
    framebuffer_mib: int
    vgpu_mode: VgpuMode
    profiles: tuple[str, ...]
    model: str = ""

    def __hash__(self) -> int:  # what differs nearly always; an enumeration's hash takes long
        return hash((self.address, self.profiles))

    def with_profile(self, name: str) -> CardLoad:
        """Return the card as it is once it holds one more vGPU."""
        return replace(self, profiles=(*self.profiles, name))


class Refusal(StrEnum):
    """Why a card does not take a profile.

    `FULL`: nothing is left. `PROFILE_LOCKED`: sameSize, and it holds another profile.
    `WRONG_MODE`: a MIG profile on a time-sliced card, the reverse, or a GPU without mixedSize.
    `GEOMETRY`: slices are left, but no placement. `UNKNOWN`: it holds, or is asked for,
    something that this GPU does not have or whose size nobody knows.
    """

    FULL = "full"
    PROFILE_LOCKED = "profile-locked"
    WRONG_MODE = "wrong-mode"
    GEOMETRY = "geometry"
    UNKNOWN = "unknown"


def derive(name: str, framebuffer_mib: int, card_framebuffer_mib: int) -> Profile | None:
    """Return a profile that a host offers and the catalogue lacks; None where its name is odd.

    Its maximum is what the framebuffers allow; in mixedSize the next lower power of two, as
    NVIDIA's tables have it for nearly every profile.

    Args:
        name: As the host offers it.
        framebuffer_mib: Of one vGPU, from `vgpuProfileInfo`.
        card_framebuffer_mib: Of the whole card.
    """
    parts = profiles.parse(name)
    if parts is None or framebuffer_mib <= 0:
        return None
    most = card_framebuffer_mib // framebuffer_mib
    return Profile(
        name,
        framebuffer_mib,
        parts.series,
        min(most, 1) if parts.media else most,
        mig=parts.mig,
        mixed_max=1 << (most.bit_length() - 1) if most and not parts.mig else 0,
        compute_slices=parts.slices or 0,
    )


def refusal(card: CardLoad, profile: Profile) -> Refusal | None:
    """Return why the card does not take one more vGPU of this profile; None if it does."""
    if profile.mig is not (card.vgpu_mode is VgpuMode.MIG):
        return Refusal.WRONG_MODE
    if card.model and _model_key(profile.name) not in ("", card.model):
        return Refusal.UNKNOWN
    if card.vgpu_mode is VgpuMode.SAME_SIZE:
        return _same_size(card, profile)
    if card.vgpu_mode is VgpuMode.MIXED_SIZE:
        return _mixed_size(card, profile)
    return _mig(card, profile)


def remaining(card: CardLoad, profile: Profile) -> int:
    """Return how many more vGPUs of this profile the card takes."""
    count = 0
    while refusal(card, profile) is None:
        card = card.with_profile(profile.name)
        count += 1
    return count


def choose(
    cards: Sequence[CardLoad], profile: Profile, policy: AssignmentPolicy
) -> CardLoad | None:
    """Return the card of a host that the next vGPU goes to; None if no card takes it.

    `performance` takes the card with the fewest vGPUs, `consolidation` the fullest one that
    still has room (`sharedPassthruAssignmentPolicy`). Among cards in mixedSize mode the policy
    is ignored and the least used framebuffer wins (Denneman, "Mixed Size vGPU Mode in
    Practice", 2026-02-24). Ties go to the lowest address.
    """
    best: CardLoad | None = None
    best_rank: tuple[int, str] | None = None
    for card in cards:
        if refusal(card, profile) is None:
            rank = (_rank(card, policy), card.address)
            if best_rank is None or rank < best_rank:
                best, best_rank = card, rank
    return best


def _rank(card: CardLoad, policy: AssignmentPolicy) -> int:
    if card.vgpu_mode is VgpuMode.MIXED_SIZE:
        return _used(card.profiles)
    if policy is AssignmentPolicy.PERFORMANCE:
        return len(card.profiles)
    return -_used(card.profiles)


def _same_size(card: CardLoad, profile: Profile) -> Refusal | None:
    """The first vGPU locks the card to its profile until it is empty (Denneman, 2026-02-17)."""
    held = card.profiles
    if held and held[0] != profile.name and stem_of(held[0]) != stem_of(profile.name):
        return Refusal.PROFILE_LOCKED
    return Refusal.FULL if len(held) >= profile.max_per_card else None


def _mixed_size(card: CardLoad, profile: Profile) -> Refusal | None:
    """Apply the two rules of mixedSize: the sum of framebuffers, and the lower maximum."""
    if profile.mixed_max == 0:
        return Refusal.WRONG_MODE
    if count_of(card, profile) >= profile.mixed_max:
        return Refusal.FULL
    return _by_framebuffer(card, profile)


def _mig(card: CardLoad, profile: Profile) -> Refusal | None:
    """Look for a free placement; where the shapes are unknown, add up framebuffers."""
    limit = _media(card) if _is_media(profile.name) else count_of(card, profile)
    if limit >= profile.max_per_card:
        return Refusal.FULL
    geometry = _geometry(profile.name)
    held = tuple(_shape(name) for name in card.profiles)
    if geometry is None or None in held:
        return _by_framebuffer(card, profile)
    shapes = tuple(shape for shape in held if shape)
    wanted = (profile.compute_slices, profile.memory_slices)
    if (
        sum(compute for compute, _ in shapes) + wanted[0] > geometry.compute_slices
        or sum(memory for _, memory in shapes) + wanted[1] > geometry.memory_slices
    ):
        return Refusal.FULL
    return Refusal.GEOMETRY if arrange(geometry, (*shapes, wanted)) is None else None


def _by_framebuffer(card: CardLoad, profile: Profile) -> Refusal | None:
    """Refuse what is larger than the framebuffer left.

    A card with ECC reports less than its nominal framebuffer, in which profiles are measured;
    so the nominal one counts where the card is known.
    """
    sizes = [_framebuffer(name) for name in card.profiles]
    if 0 in sizes:
        return Refusal.UNKNOWN
    room = max(card.framebuffer_mib, _nominal(profile.name)) - sum(sizes)
    return Refusal.FULL if profile.framebuffer_mib > room else None


def count_of(card: CardLoad, profile: Profile) -> int:
    """Return how many vGPUs of this profile the card holds, whatever the prefix."""
    stem = stem_of(profile.name)
    return sum(stem_of(name) == stem for name in card.profiles)


def _media(card: CardLoad) -> int:
    """Return how many media extensions are taken: a GPU has one, whichever instance holds it."""
    return sum(map(_is_media, card.profiles))


def _used(names: tuple[str, ...]) -> int:
    return sum(map(_framebuffer, names))


@lru_cache(maxsize=4096)
def _framebuffer(name: str) -> int:
    """Return a profile's framebuffer in MiB, by its name where the catalogue lacks it, else 0."""
    if entry := catalogue().profile(name):
        return entry[1].framebuffer_mib
    parts = profiles.parse(name)
    return parts.size_gb * 1024 if parts else 0


@lru_cache(maxsize=4096)
def _nominal(name: str) -> int:
    entry = catalogue().profile(name)
    return entry[0].framebuffer_gib * 1024 if entry else 0


@lru_cache(maxsize=4096)
def _model_key(name: str) -> str:
    entry = catalogue().profile(name)
    return entry[0].key if entry else ""


@lru_cache(maxsize=4096)
def _geometry(name: str) -> MigGeometry | None:
    entry = catalogue().profile(name)
    return entry[0].mig if entry else None


@lru_cache(maxsize=4096)
def _shape(name: str) -> tuple[int, int] | None:
    """Return a MIG profile's compute and memory slices; None where the catalogue lacks it."""
    entry = catalogue().profile(name)
    return (entry[1].compute_slices, entry[1].memory_slices) if entry else None


def _is_media(name: str) -> bool:
    parts = profiles.parse(name)
    return parts is not None and parts.media
