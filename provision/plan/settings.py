"""Settings that a GPU machine must have and that no user should have to know (FACTS 3).

Values are strings, as vSphere's `extraConfig` has them. Keys in `HARDWARE` are not
`extraConfig` but fields of the VM's configuration under the same name.
"""

from __future__ import annotations

from collections.abc import Sequence

from provision.gpu.mmio import mmio_size_gb
from provision.plan.needs import framebuffer_mib, model_of
from provision.plan.snapshot import Card

# VMware vSphere documentation: a VM with a PCI device needs its whole memory reserved.
MEMORY_LOCKED = "memoryReservationLockedToMax"
# VMware KB 89638: CPU hot-add and a PCI device exclude each other.
CPU_HOT_ADD = "cpuHotAddEnabled"
FIRMWARE = "firmware"
# VMware KB 2142307: cards whose BAR1 does not fit below 4 GiB.
USE_64BIT_MMIO = "pciPassthru.use64bitMMIO"
MMIO_SIZE = "pciPassthru.64bitMMIOSizeGB"

HARDWARE = frozenset({MEMORY_LOCKED, CPU_HOT_ADD, FIRMWARE})


def needs_efi(card: Card) -> bool:
    """Whether a VM with this card must boot by EFI: the card's BAR1 exceeds 256 MB.

    A card that the catalogue does not know is taken for a large one, as all recent ones are.
    """
    model = model_of(card)
    return model is None or model.needs_efi


def derived_settings(cards: Sequence[Card]) -> dict[str, str]:
    """Return the settings of a machine from the physical card behind each of its GPU devices.

    Args:
        cards: One entry per GPU device, also where two vGPUs share a card; empty for a machine
            without GPUs, which needs nothing.
    """
    if not cards:
        return {}
    settings = {MEMORY_LOCKED: "TRUE", CPU_HOT_ADD: "FALSE"}
    large = [card for card in cards if needs_efi(card)]
    if large:
        settings[FIRMWARE] = "efi"
        sizes = [max(1, -(-framebuffer_mib(card) // 1024)) for card in large]
        settings[USE_64BIT_MMIO] = "TRUE"
        settings[MMIO_SIZE] = str(mmio_size_gb(sizes))
    return settings
