"""The GPUs of a simulated VM as files: what a guest that boots finds in /sys/bus/pci/devices."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from provision.simulator.guests.backend import GuestGpu

# Classes of the PCI ID Repository: VGA controller, and 3D controller, which data-centre cards are.
CLASS_VGA = "0x030000"
CLASS_3D = "0x030200"
VMWARE, SVGA_II = "0x15ad", "0x0405"


def write_hardware(folder: Path, gpus: Iterable[GuestGpu]) -> None:
    """Write `pci/ADDRESS/` for VMware's own display adapter and for each GPU."""
    devices = folder / "pci"
    _device(devices / "0000:00:0f.0", {"vendor": VMWARE, "device": SVGA_II, "class": CLASS_VGA})
    for number, gpu in enumerate(gpus):
        # ESXi puts vGPUs beside each other on one bus, each whole card behind a port of its own.
        whole = gpu.profile is None
        address = f"0000:{3 + 8 * number:02x}:00.0" if whole else f"0000:02:{1 + number:02x}.0"
        attributes = {
            "vendor": f"{gpu.vendor_id:#06x}",
            "device": f"{gpu.device_id:#06x}",
            "class": CLASS_3D,
            "numa_node": "-1",
        }
        _device(devices / address, attributes)


def _device(folder: Path, attributes: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in attributes.items():
        (folder / name).write_text(f"{value}\n")
