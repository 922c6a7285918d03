"""The cards and profiles that vdl knows, read from `catalogue.yaml` beside this file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from provision.gpu import profiles
from provision.gpu.types import Series

NVIDIA = 0x10DE
# NVIDIA vGPU User Guide: mixed-size mode and MIG begin with the Ampere architecture.
_MIXED_SIZE_SINCE = ("ampere", "ada", "hopper", "blackwell")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a MIG instance of one shape may begin: its start slots among the memory slices."""

    compute_slices: int
    memory_slices: int
    starts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MigGeometry:
    """How a GPU can be divided by MIG."""

    compute_slices: int
    memory_slices: int
    placements: tuple[Placement, ...]

    def starts(self, compute_slices: int, memory_slices: int) -> tuple[int, ...]:
        """Return the start slots of a shape; empty where the GPU has no such shape."""
        for placement in self.placements:
            if (placement.compute_slices, placement.memory_slices) == (
                compute_slices,
                memory_slices,
            ):
                return placement.starts
        return ()


@dataclass(frozen=True, slots=True)
class Profile:
    """One vGPU profile.

    Attributes:
        name: As vSphere spells it, such as `grid_a100d-10c`.
        framebuffer_mib: Framebuffer of one vGPU.
        series: C for compute, Q for workstations, A and B for desktops.
        max_per_card: How many one GPU holds when it holds nothing else.
        mig: Whether a MIG instance backs it.
        mixed_max: How many one GPU holds in mixedSize mode; 0 where it can't.
        compute_slices: Of a MIG-backed profile, otherwise 0.
        memory_slices: Of a MIG-backed profile, otherwise 0.
    """

    name: str
    framebuffer_mib: int
    series: Series
    max_per_card: int
    mig: bool = False
    mixed_max: int = 0
    compute_slices: int = 0
    memory_slices: int = 0

    def __hash__(self) -> int:  # placement looks profiles up a million times
        return hash(self.name)


@dataclass(frozen=True, slots=True)
class CardModel:
    """One model of card; each of its GPUs is a PCI function with `framebuffer_gib` of its own.

    Attributes:
        needs_efi: Whether its BAR1 exceeds 256 MB, so that the VM must boot by EFI.
        vgpu: Whether vSphere can share it.
        mixed_size: Whether it knows the mixedSize vGPU mode.
        mig: Its MIG geometry, None where it has no MIG.
        nvlink: Whether some form of the card can be joined to another by NVLink.
        sources: `fact: document` for each fact.
    """

    key: str
    name: str
    vendor_id: int
    device_ids: tuple[int, ...]
    framebuffer_gib: int
    gpus_per_board: int
    architecture: str
    needs_efi: bool
    vgpu: bool
    mixed_size: bool
    mig: MigGeometry | None
    nvlink: bool
    profiles: tuple[Profile, ...]
    aliases: tuple[str, ...]
    sources: tuple[str, ...]

    def __hash__(self) -> int:  # its profiles and sources would take long to hash
        return hash(self.key)

    @property
    def boards(self) -> tuple[str, ...]:
        """What the names of its profiles call its forms, such as `a100d` and `a100dx`."""
        parsed = (profiles.parse(profile.name) for profile in self.profiles)
        return tuple(dict.fromkeys(name.gpu for name in parsed if name))


class Catalogue:
    """All card models, with the look-ups that placement and preflight need."""

    def __init__(self, models: Iterable[CardModel]) -> None:
        self.models = tuple(models)
        self._names = tuple(
            (model, tuple(map(_normal, (model.key, model.name, *model.aliases))))
            for model in self.models
        )
        self._by_key = {_normal(model.key): model for model in self.models}
        self._by_pci = {
            (model.vendor_id, device): model for model in self.models for device in model.device_ids
        }
        self._by_stem = {
            stem_of(profile.name): (model, profile)
            for model in self.models
            for profile in model.profiles
        }

    def model(self, key: str) -> CardModel | None:
        """Return the model with exactly this key, in any case."""
        return self._by_key.get(_normal(key))

    def matching(self, text: str) -> tuple[CardModel, ...]:
        """Return the models that a text such as `A100`, `A100-80` or a device name means.

        A text matches a key or an alias that it equals, or of which it is the beginning up to
        a hyphen: `A100` means A100-40 and A100-80, `A10` only the A10.
        """
        wanted = _normal(text)
        if not wanted:
            return ()
        return tuple(
            model
            for model, names in self._names
            if any(name == wanted or name.startswith(f"{wanted}-") for name in names)
        )

    def by_pci(self, vendor_id: int, device_id: int) -> CardModel | None:
        """Return the model with this PCI id; signed 16-bit values as vSphere gives them will do."""
        return self._by_pci.get((vendor_id & 0xFFFF, device_id & 0xFFFF))

    def profile(self, name: str) -> tuple[CardModel, Profile] | None:
        """Return a profile and its card, whatever prefix (`grid_`, `nvidia_`) the name has."""
        return self._by_stem.get(stem_of(name))

    def nearest(self, text: str) -> tuple[str, ...]:
        """Return up to three profile names or model keys that a mistyped text may have meant."""
        profile = profiles.parse(text)
        if profile is not None:
            names = {stem: entry[1].name for stem, entry in self._by_stem.items()}
            close = difflib.get_close_matches(profile.stem, names, n=3, cutoff=0.6)
            return tuple(names[stem] for stem in close)
        keys = {_normal(model.key): model.key for model in self.models}
        keys |= {stem: entry[1].name for stem, entry in self._by_stem.items()}
        close = difflib.get_close_matches(_normal(text), keys, n=3, cutoff=0.6)
        return tuple(keys[key] for key in close)


@lru_cache(maxsize=4096)
def stem_of(name: str) -> str:
    """Return a profile's name without its prefix; an odd name as it is, in lower case."""
    parsed = profiles.parse(name)
    return parsed.stem if parsed else name.lower()


@cache
def catalogue() -> Catalogue:
    """Return the packaged catalogue, read once."""
    import yaml  # noqa: PLC0415 - `vdl --help` must not wait for it

    text = resources.files("provision.gpu").joinpath("catalogue.yaml").read_text("utf-8")
    return _build(yaml.safe_load(text))


def _normal(text: str) -> str:
    """Return a model's name as it is compared: lower case, hyphens, no vendor, no `GB`."""
    name = re.sub(r"[\s_]+", "-", text.strip().lower())
    name = re.sub(r"^(?:nvidia-)?(?:tesla-)?", "", name)
    return re.sub(r"(?<=\d)gb\b", "", name)


def _build(data: Mapping[str, Any]) -> Catalogue:
    geometries = {name: _geometry(entry) for name, entry in data["geometries"].items()}
    return Catalogue(_model(entry, data, geometries) for entry in data["cards"])


def _geometry(entry: Mapping[str, Any]) -> MigGeometry:
    return MigGeometry(
        compute_slices=entry["compute_slices"],
        memory_slices=entry["memory_slices"],
        placements=tuple(
            Placement(compute, memory, tuple(starts))
            for compute, memory, starts in entry["placements"]
        ),
    )


def _model(
    entry: Mapping[str, Any], data: Mapping[str, Any], geometries: Mapping[str, MigGeometry]
) -> CardModel:
    found = tuple(profile for family in entry["profiles"] for profile in _profiles(family, data))
    return CardModel(
        key=entry["key"],
        name=entry["name"],
        vendor_id=NVIDIA,
        device_ids=tuple(int(device, 16) for device in entry["device_ids"]),
        framebuffer_gib=entry["framebuffer_gib"],
        gpus_per_board=entry.get("gpus_per_board", 1),
        architecture=entry["architecture"],
        needs_efi=entry["needs_efi"],
        vgpu=bool(found),
        mixed_size=bool(found) and entry["architecture"] in _MIXED_SIZE_SINCE,
        mig=geometries[entry["mig"]] if "mig" in entry else None,
        nvlink=entry["nvlink"],
        profiles=found,
        aliases=tuple(entry.get("aliases", ())),
        sources=tuple(
            f"{fact}: {data['sources'][source]}" for fact, source in entry["sources"].items()
        ),
    )


def _profiles(family: Mapping[str, Any], data: Mapping[str, Any]) -> Iterable[Profile]:
    """Yield the C-series profiles of one GPU, time-sliced ones first."""
    if table := family.get("time_sliced"):
        for size, (framebuffer, most, mixed) in data["time_sliced"][table]["rows"].items():
            name = f"{family['stem']}-{size}c"
            yield Profile(name, framebuffer, Series.COMPUTE, most, mixed_max=mixed)
    if table := family.get("mig_backed"):
        for row, (framebuffer, most, memory) in data["mig_backed"][table]["rows"].items():
            slices, size = row.removesuffix("me").split("-")
            name = f"{family['stem']}-{slices}-{size}c{'me' if row.endswith('me') else ''}"
            yield Profile(
                name,
                framebuffer,
                Series.COMPUTE,
                most,
                mig=True,
                compute_slices=int(slices),
                memory_slices=memory,
            )
