"""What a machine asks of a host's cards, resolved against the catalogue and the cluster."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from provision.gpu.capacity import derive
from provision.gpu.catalogue import CardModel, Profile, catalogue, stem_of
from provision.plan.names import listed
from provision.plan.snapshot import Card, GpuDevice, Host
from provision.spec.model import GpuRequest, GroupRequest, VgpuRequest

# vSphere names a device group `VENDOR:COUNT@PROFILE%INTERCONNECT`.
_GROUP = re.compile(r"[^:@]+:(?P<count>\d+)@(?P<profile>[^%]+)(?:%.*)?")

_PCI_IDS = re.compile(
    r"(?:0x)?(?P<vendor>[0-9a-f]{1,4}):(?:0x)?(?P<device>[0-9a-f]{1,4})", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class VgpuNeed:
    """`count` vGPUs of one profile. `model` is None where only the hosts know the profile.

    `group` is the vendor device group that the vGPUs come as; each then takes a card of its own.
    """

    profile: Profile
    model: CardModel | None
    count: int
    group: str | None = None


@dataclass(frozen=True, slots=True)
class PinnedNeed:
    """One card at one address of one host (DirectPath I/O)."""

    host: str
    address: str

    def means(self, card: Card) -> bool:
        """Whether a card of that host is the one that is meant."""
        return card.address == self.address


@dataclass(frozen=True, slots=True)
class ModelNeed:
    """`count` whole cards of one model, wherever they are (Dynamic DirectPath I/O).

    `label` is the hardware label that they must have; None where any card will do. `group` is
    the vendor device group that they come as.
    """

    model: CardModel
    count: int
    label: str | None = None
    group: str | None = None

    @property
    def text(self) -> str:
        """The cards as messages call them."""
        return self.model.key if self.label is None else f"{self.model.key} labelled {self.label}"

    def means(self, card: Card) -> bool:
        """Whether a card is one of those that are meant, in use or not."""
        return model_of(card) is self.model and self.label in (None, card.label)


@dataclass(frozen=True, slots=True)
class GroupNeed:
    """A vendor device group whose cards neither its name nor the host tells."""

    group: str


Need = VgpuNeed | PinnedNeed | ModelNeed | GroupNeed


@dataclass(frozen=True, slots=True)
class Unknown:
    """A request that no catalogue entry and no host of the cluster knows."""

    code: str
    message: str
    fix: str


def model_of(card: Card) -> CardModel | None:
    """Return the catalogue's model of a card."""
    return catalogue().by_pci(card.vendor_id, card.device_id)


def framebuffer_mib(card: Card) -> int:
    """Return a card's framebuffer in MiB: the catalogue's, else what the host reports."""
    model = model_of(card)
    return model.framebuffer_gib * 1024 if model else card.framebuffer // 2**20


def resolve(request: GpuRequest, hosts: Sequence[Host]) -> Need | Unknown:
    """Return what the request means in this cluster, or why it means nothing."""
    if isinstance(request, VgpuRequest):
        return _vgpu(request.vgpu, request.count, hosts)
    if isinstance(request, GroupRequest):
        return _group(request.group, hosts)
    if request.pinned is not None:
        return _pinned(request.cards, *request.pinned, hosts)
    if request.label is not None:
        return _labelled(request.label, request.model, request.count, hosts)
    return _model(request.cards, request.count, hosts)


def _vgpu(name: str, count: int, hosts: Sequence[Host]) -> VgpuNeed | Unknown:
    if found := catalogue().profile(name):
        model, profile = found
        return VgpuNeed(profile, model, count)
    stem = stem_of(name)
    for host in hosts:
        largest = max((framebuffer_mib(card) for card in host.cards), default=0)
        for offer in host.profiles:
            if stem_of(offer.name) != stem:
                continue
            derived = derive(offer.name, offer.framebuffer // 2**20, largest)
            if derived is not None:
                return VgpuNeed(derived, None, count)
    return Unknown("gpu-unknown", f"no vGPU profile is called {name}", _did_you_mean(name))


def _did_you_mean(text: str) -> str:
    close = catalogue().nearest(text)
    if close:
        return f"did you mean {' or '.join(close)}? `vdl gpus` shows what the hosts have"
    return "`vdl gpus` shows the cards and profiles that the hosts have"


def _group(name: str, hosts: Sequence[Host]) -> Need | Unknown:
    offered = sorted({group.name for host in hosts for group in host.device_groups})
    if name not in offered:
        fix = f"choose one of: {', '.join(offered)}" if offered else "ask for single cards"
        return Unknown("gpu-unknown", f"no host offers the device group {name}", fix)
    parts = _GROUP.fullmatch(name)
    found = catalogue().profile(parts["profile"]) if parts else None
    if parts is not None and found is not None:
        return VgpuNeed(found[1], found[0], int(parts["count"]), group=name)
    members = next(g.members for h in hosts for g in h.device_groups if g.name == name)
    return _of_members(name, members) or GroupNeed(name)


def _of_members(name: str, members: Sequence[GpuDevice]) -> VgpuNeed | ModelNeed | None:
    """Return what a device group takes, by its devices: vGPUs of one profile or cards of a model.

    Devices that are no GPUs, such as a network card beside one, take no card.
    """
    gpus = [gpu for gpu in members if gpu.kind in {"vgpu", "passthrough"}]
    if not gpus or len({(gpu.kind, gpu.value, gpu.label) for gpu in gpus}) > 1:
        return None
    first = gpus[0]
    if first.kind == "vgpu":
        found = catalogue().profile(first.value)
        return VgpuNeed(found[1], found[0], len(gpus), group=name) if found else None
    models = models_of(first)
    one = len(set(models)) == 1
    return ModelNeed(models[0], len(gpus), first.label, name) if one else None


def models_of(device: GpuDevice) -> list[CardModel]:
    """Return the models of which a passthrough device may get a card; none for one by address."""
    pairs = (_PCI_IDS.fullmatch(text.strip()) for text in device.value.split(","))
    found = (catalogue().by_pci(int(p["vendor"], 16), int(p["device"], 16)) for p in pairs if p)
    return [model for model in found if model is not None]


def _pinned(text: str, host_name: str, address: str, hosts: Sequence[Host]) -> Need | Unknown:
    host = next((host for host in hosts if host.name == host_name), None)
    if host is None:
        names = ", ".join(sorted(host.name for host in hosts)) or "none"
        return Unknown("gpu-unknown", f"{text}: the cluster has no such host", f"hosts: {names}")
    if all(card.address != address for card in host.cards):
        addresses = ", ".join(sorted(card.address for card in host.cards)) or "none"
        fix = f"cards of {host_name}: {addresses}"
        return Unknown("gpu-unknown", f"{host_name} has no card at {address}", fix)
    return PinnedNeed(host_name, address)


def _labelled(
    label: str, text: str | None, count: int, hosts: Sequence[Host]
) -> ModelNeed | Unknown:
    cards = [card for host in hosts for card in host.cards]
    models = {m.key: m for card in cards if card.label == label and (m := model_of(card))}
    if not models:
        labels = listed(sorted({card.label for card in cards if card.label}))
        there = f"labels there are: {labels}" if labels else "no card of the cluster has a label"
        fix = f"{there}; `vdl host prepare HOST --passthrough MODEL --label {label}` sets one"
        return Unknown("gpu-unknown", f"no card has the label {label}", fix)
    if text is None:
        meant = list(models.values())
    else:
        meant = [model for model in catalogue().matching(text) if model.key in models]
    there = listed(sorted(models))
    if not meant:
        message = f"no {text} has the label {label}"
        return Unknown("gpu-unknown", message, f"cards with that label: {there}")
    if len(meant) > 1:
        message = f"cards of several models have the label {label}: {there}"
        fix = f"write passthrough: {{label: {label}, model: {min(m.key for m in meant)}}}"
        return Unknown("gpu-ambiguous", message, fix)
    return ModelNeed(meant[0], count, label)


def _model(text: str, count: int, hosts: Iterable[Host]) -> Need | Unknown:
    models = catalogue().matching(text)
    if not models:
        return Unknown("gpu-unknown", f"no card model is called {text}", _did_you_mean(text))
    present = {model.key for host in hosts for card in host.cards if (model := model_of(card))}
    here = [model for model in models if model.key in present]
    keys = [model.key for model in here or models]
    if not here:
        message = f"no host of the cluster has a card of model {' or '.join(keys)}"
        fix = f"cards here: {', '.join(sorted(present)) or 'none'}"
        return Unknown("gpu-unknown", message, fix)
    if len(here) > 1:
        message = f"{text} may be {' or '.join(keys)}: the cluster has more than one of them"
        return Unknown("gpu-ambiguous", message, f"write passthrough: {keys[0]}, or {keys[1]}")
    return ModelNeed(here[0], count)
