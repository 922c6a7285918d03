"""What a kernel shows of NVIDIA GPUs and of Secure Boot, as files."""

from __future__ import annotations

from pathlib import Path

ADDRESS = "0000:03:00.0"
SECURE_BOOT = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def gpu_tree(sysfs: Path, device: str, config: bytes, address: str = ADDRESS) -> None:
    """Add an NVIDIA GPU to a tree that stands for /sys."""
    card = sysfs / "bus/pci/devices" / address
    card.mkdir(parents=True)
    for name, text in (("vendor", "0x10de"), ("class", "0x030200"), ("device", device)):
        (card / name).write_text(f"{text}\n")
    (card / "config").write_bytes(config)


def hgx_tree(sysfs: Path, config: bytes) -> None:
    """Add a part of an HGX machine to such a tree: two GPUs and an NVSwitch."""
    gpu_tree(sysfs, "0x20b2", config, "0000:07:00.0")
    gpu_tree(sysfs, "0x20b2", config, "0000:0a:00.0")
    switch = sysfs / "bus/pci/devices/0000:c4:00.0"
    switch.mkdir()
    for name, text in (("vendor", "0x10de"), ("class", "0x068000"), ("device", "0x1af1")):
        (switch / name).write_text(f"{text}\n")


def secure_boot(sysfs: Path) -> None:
    """Switch Secure Boot on: four bytes of attributes, then 1."""
    variable = sysfs / "firmware/efi/efivars" / SECURE_BOOT
    variable.parent.mkdir(parents=True)
    variable.write_bytes(bytes((6, 0, 0, 0, 1)))
