"""What of a host differs from a wish, and which of it only a reboot makes real. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from provision.gpu.types import VgpuMode
from provision.hosts.wish import PassthroughWish, SharedWish, Wish, cards_of
from provision.vsphere.host_port import (
    SHARED_DIRECT,
    GpuState,
    GraphicsSettings,
    HostState,
    booted_since,
)

# Since 8.0 Update 3 (vSphere API reference, HostGraphicsConfig.DeviceType).
VGPU_MODES_SINCE = (8, 0, 3)
# The modes that vSphere can set (vSphere API reference, HostGraphicsConfigVgpuMode).
SETTABLE = frozenset({VgpuMode.SAME_SIZE, VgpuMode.MIXED_SIZE})


@dataclass(frozen=True, slots=True)
class Differences:
    """What has to change.

    Attributes:
        passthrough: The wanted passthrough setting of each card whose setting differs.
        graphics: The graphics settings to send; None where those that are set suffice.
        settings: What differs in the graphics settings, in words.
        pending: What a reboot makes real, in words; nothing where no reboot is needed.
        labels: The wanted hardware label of each card whose label differs; real at once.
    """

    passthrough: Mapping[str, bool] = field(default_factory=dict)
    graphics: GraphicsSettings | None = None
    settings: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_reboot(self) -> bool:
        """Whether the host must be rebooted."""
        return bool(self.pending)

    @property
    def any(self) -> bool:
        """Whether anything differs."""
        return bool(self.passthrough or self.graphics or self.pending or self.labels)

    def words(self) -> tuple[str, ...]:
        """Return all that differs, for a message."""
        cards = (
            f"passthrough of {address} is {'off' if wanted else 'on'}"
            for address, wanted in sorted(self.passthrough.items())
        )
        labels = (f"label of {address} → {text}" for address, text in sorted(self.labels.items()))
        return (*cards, *labels, *self.settings, *self.pending)


def differences(state: HostState, wish: Wish) -> Differences:
    """Return what of the host differs from the wish.

    Raises:
        UsageError: The wish names a card that the host does not have.
    """
    cards = cards_of(state, wish)
    enabled = isinstance(wish, PassthroughWish)
    waiting = [gpu for gpu in cards if gpu.enabled is enabled and gpu.active is not enabled]
    toggled = [gpu for gpu in cards if gpu.enabled is not enabled]
    if state.rebind:
        # Sent once more, the setting becomes real without a reboot.
        toggled, waiting = [*toggled, *waiting], []
    passthrough = {gpu.address: enabled for gpu in toggled}
    unbooted = sorted(gpu.address for gpu in (waiting if state.rebind else toggled + waiting))
    word = "on" if enabled else "off"
    pending = (f"passthrough {word} for {', '.join(unbooted)}",) if unbooted else ()
    if isinstance(wish, PassthroughWish):
        labels = {gpu.address: wish.label for gpu in cards if wish.label not in (None, gpu.label)}
        return Differences(passthrough, pending=pending, labels=labels)
    settings = tuple(_settings(state, wish, cards))
    unreal = _unreal(state, wish, cards)
    return Differences(
        passthrough,
        GraphicsSettings(wish.policy, _modes(state, wish, cards)) if settings else None,
        settings,
        (*pending, *settings, *(text for text in unreal if text not in settings)),
    )


def knows_modes(state: HostState) -> bool:
    """Whether the host's release has vGPU modes to choose from."""
    parts = tuple(int(part) for part in state.api_version.split(".") if part.isdigit())
    return parts >= VGPU_MODES_SINCE


def _settings(state: HostState, wish: SharedWish, cards: tuple[GpuState, ...]) -> Iterator[str]:
    """Yield what is set otherwise. All of it needs a restart of the host's graphics services."""
    if state.default_graphics != SHARED_DIRECT:
        yield f"default graphics type {state.default_graphics or 'unset'} → {SHARED_DIRECT}"
    if wish.policy is not None and wish.policy != state.policy:
        yield f"assignment policy {state.policy.value} → {wish.policy.value}"
    for gpu in cards:
        # What is set of a card without a setting of its own is the host's default.
        own = gpu.next_graphics != state.default_graphics
        if own and gpu.next_graphics != SHARED_DIRECT:
            yield f"graphics type of {gpu.address} {gpu.next_graphics} → {SHARED_DIRECT}"
        if _mode_differs(state, wish, gpu):
            yield f"vGPU mode of {gpu.address} {_mode_text(gpu)} → {_wanted(wish)}"


def _unreal(state: HostState, wish: SharedWish, cards: tuple[GpuState, ...]) -> Iterator[str]:
    """Yield what is set and not real yet."""
    for gpu in cards:
        if not gpu.active and gpu.graphics != SHARED_DIRECT:
            yield f"graphics type of {gpu.address} {gpu.graphics or 'unset'} → {SHARED_DIRECT}"
        set_now = gpu.next_vgpu_mode is wish.vgpu_mode is not None
        if set_now and not gpu.active and gpu.vgpu_mode is not wish.vgpu_mode:
            yield f"vGPU mode of {gpu.address} {_mode_text(gpu)} → {_wanted(wish)}"
    if state.claim.booted is not None and not booted_since(state.booted, state.claim.booted):
        yield "graphics settings that vdl has changed since the last boot"


def _mode_differs(state: HostState, wish: SharedWish, gpu: GpuState) -> bool:
    """Whether the card's mode must be set; never for a mode that vSphere can't set."""
    if wish.vgpu_mode not in SETTABLE or not knows_modes(state):
        return False
    known = gpu.next_vgpu_mode or gpu.vgpu_mode
    return known is not wish.vgpu_mode and not (
        # A card that is passed through tells no mode; sameSize is what it begins with.
        known is None and gpu.active and wish.vgpu_mode is VgpuMode.SAME_SIZE
    )


def _modes(
    state: HostState, wish: SharedWish, cards: tuple[GpuState, ...]
) -> Mapping[str, VgpuMode | None]:
    mode = wish.vgpu_mode if wish.vgpu_mode in SETTABLE and knows_modes(state) else None
    return {gpu.address: mode for gpu in cards if gpu.listed}


def _mode_text(gpu: GpuState) -> str:
    return gpu.vgpu_mode.value if gpu.vgpu_mode else "unset"


def _wanted(wish: SharedWish) -> str:
    return wish.vgpu_mode.value if wish.vgpu_mode else "unset"
