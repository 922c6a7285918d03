"""What a person wants of a host's cards, and which cards they mean."""

from __future__ import annotations

from dataclasses import dataclass

from provision.errors import UsageError
from provision.gpu.catalogue import CardModel, catalogue
from provision.gpu.types import AssignmentPolicy, VgpuMode
from provision.vsphere.host_port import GpuState, HostState


@dataclass(frozen=True, slots=True)
class PassthroughWish:
    """These cards shall be passed through. Each is named by its address, model or name.

    `label` is the hardware label that they shall have; None leaves theirs as they are.
    """

    cards: tuple[str, ...]
    label: str | None = None

    def text(self) -> str:
        """Return the wish in words."""
        label = f" with the label {self.label}" if self.label else ""
        return f"passthrough of {', '.join(self.cards)}{label}"


@dataclass(frozen=True, slots=True)
class SharedWish:
    """All cards shall be shared direct, for vGPUs. What is None stays as it is."""

    vgpu_mode: VgpuMode | None = None
    policy: AssignmentPolicy | None = None

    def text(self) -> str:
        """Return the wish in words."""
        parts = [
            "cards shared direct",
            f"vGPU mode {self.vgpu_mode.value}" if self.vgpu_mode else "",
            f"policy {self.policy.value}" if self.policy else "",
        ]
        return ", ".join(filter(None, parts))


Wish = PassthroughWish | SharedWish


def model_of(gpu: GpuState) -> CardModel | None:
    """Return the catalogue's model of a card."""
    return catalogue().by_pci(gpu.vendor_id, gpu.device_id)


def label_of(gpu: GpuState) -> str:
    """Return what a card is called in messages: its address, which is unique, and its model."""
    model = model_of(gpu)
    return f"{gpu.address} ({model.key if model else gpu.name})"


def cards_of(state: HostState, wish: Wish) -> tuple[GpuState, ...]:
    """Return the cards that a wish is about, by address.

    Raises:
        UsageError: The host has no such card, or a name may mean different models.
    """
    if isinstance(wish, SharedWish):
        return tuple(gpu for gpu in state.gpus if _shareable(gpu))
    chosen = {gpu.address: gpu for text in wish.cards for gpu in _named(state, text)}
    return tuple(gpu for _, gpu in sorted(chosen.items()))


def _shareable(gpu: GpuState) -> bool:
    """Whether the card can be shared; one that the catalogue does not know, may be."""
    model = model_of(gpu)
    return model is None or model.vgpu


def _named(state: HostState, text: str) -> list[GpuState]:
    exact = [gpu for gpu in state.gpus if gpu.address == text.lower()]
    if exact:
        return exact
    models = catalogue().matching(text)
    same = [gpu for gpu in state.gpus if model_of(gpu) in models]
    same = same or [gpu for gpu in state.gpus if gpu.name.casefold() == text.casefold()]
    keys = sorted({model.key for gpu in same if (model := model_of(gpu))})
    if len(keys) > 1:
        raise UsageError(
            f"{text} may be {' or '.join(keys)}",
            subject=state.name,
            fix=f"write --passthrough {keys[0]}, or name the cards by address",
        )
    if not same:
        raise UsageError(
            f"the host has no card {text}",
            subject=state.name,
            fix=f"cards of {state.name}: {', '.join(map(label_of, state.gpus)) or 'none'}",
        )
    return same
