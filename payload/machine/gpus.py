"""GPUs as `nvidia-smi` tells of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from payload.machine import hardware, smilog

_LINK = "pci/pci_gpu_link_info"
_POWER_LIMITS = (
    # Since schema 12; before it.
    "gpu_power_readings/current_power_limit",
    "power_readings/enforced_power_limit",
    "power_readings/power_limit",
)


def describe(deadline: float = smilog.DEADLINE, root: Path = Path("/")) -> list[dict[str, Any]]:
    """Return one mapping per GPU; none where `nvidia-smi` is absent, fails or does not answer.

    A value that the GPU or the driver does not have is `None`: a vGPU knows neither its power
    nor its greatest clocks, and older drivers do not know every field. Memory is in MiB, clocks
    are in MHz, power is in W. `vgpu_profile` is the profile's name without the prefix that hosts
    give it, `numa_node` that of the card's slot as the kernel knows it.

    Args:
        deadline: Seconds for the answer.
        root: The file system's root; a test gives its own.
    """
    answer = smilog.ask(deadline)
    if answer.log is None:
        return []
    driver = smilog.known(answer.log.findtext("driver_version"))
    return [_describe(gpu, driver, root) for gpu in answer.log.findall("gpu")]


def _describe(gpu: Element, driver: str | None, root: Path) -> dict[str, Any]:
    def text(path: str) -> str | None:
        return smilog.known(gpu.findtext(path))

    def number(*paths: str) -> float | None:
        found = (smilog.number(gpu.findtext(path)) for path in paths)
        return next((value for value in found if value is not None), None)

    name, mode = text("product_name"), text("gpu_virtualization_mode/virtualization_mode")
    address = text("pci/pci_bus_id")
    return {
        "uuid": text("uuid"),
        "name": name,
        "driver": driver,
        "memory_mib": number("fb_memory_usage/total"),
        "clock_sm_mhz": number("clocks/sm_clock"),
        "clock_memory_mhz": number("clocks/mem_clock"),
        "clock_sm_max_mhz": number("max_clocks/sm_clock"),
        "clock_memory_max_mhz": number("max_clocks/mem_clock"),
        "ecc": text("ecc_mode/current_ecc"),
        "mig": text("mig_mode/current_mig"),
        "power_limit_w": number(*_POWER_LIMITS),
        "persistence": text("persistence_mode"),
        "pcie": {
            "address": address,
            "generation": number(f"{_LINK}/pcie_gen/current_link_gen"),
            "generation_max": number(f"{_LINK}/pcie_gen/max_link_gen"),
            "width": number(f"{_LINK}/link_widths/current_link_width"),
            "width_max": number(f"{_LINK}/link_widths/max_link_width"),
        },
        "numa_node": hardware.pci_numa_node(root, address),
        "virtualization": mode,
        "vgpu_profile": name.split()[-1] if name and mode == "VGPU" else None,
        "licence": text("vgpu_software_licensed_product/license_status"),
    }
