"""GPUs as `nvidia-smi` tells of them."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

from payload import smilog

_POWER_LIMITS = (
    # Since schema 12; before it.
    "gpu_power_readings/current_power_limit",
    "power_readings/enforced_power_limit",
    "power_readings/power_limit",
)


def describe(deadline: float = smilog.DEADLINE) -> list[dict[str, Any]]:
    """Return one mapping per GPU; none where `nvidia-smi` is absent, fails or does not answer.

    A value that the GPU or the driver does not have is `None`: a vGPU knows neither its power
    nor its greatest clocks, and older drivers do not know every field. Memory is in MiB, clocks
    are in MHz, power is in W.
    """
    answer = smilog.ask(deadline)
    if answer.log is None:
        return []
    driver = smilog.known(answer.log.findtext("driver_version"))
    return [_describe(gpu, driver) for gpu in answer.log.findall("gpu")]


def _describe(gpu: Element, driver: str | None) -> dict[str, Any]:
    def text(path: str) -> str | None:
        return smilog.known(gpu.findtext(path))

    def number(*paths: str) -> float | None:
        found = (smilog.number(gpu.findtext(path)) for path in paths)
        return next((value for value in found if value is not None), None)

    return {
        "uuid": text("uuid"),
        "name": text("product_name"),
        "driver": driver,
        "memory_mib": number("fb_memory_usage/total"),
        "clock_sm_mhz": number("clocks/sm_clock"),
        "clock_memory_mhz": number("clocks/mem_clock"),
        "clock_sm_max_mhz": number("max_clocks/sm_clock"),
        "ecc": text("ecc_mode/current_ecc"),
        "mig": text("mig_mode/current_mig"),
        "power_limit_w": number(*_POWER_LIMITS),
        "persistence": text("persistence_mode"),
        "virtualization": text("gpu_virtualization_mode/virtualization_mode"),
        "licence": text("vgpu_software_licensed_product/license_status"),
    }
