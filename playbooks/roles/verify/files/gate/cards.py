"""One GPU as `nvidia-smi -q -x` tells of it, whatever the version of its schema.

Version 11 (drivers up to 525) calls reasons for lower clocks `clocks_throttle_reasons` and has
`power_readings`; 12 and 13 call them `clocks_event_reasons` and have `gpu_power_readings`. Cards
before Ampere count ECC errors as single and double bits and retire pages; later ones count by
memory and remap rows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from gate.smilog import LOST, known, number

VIRTUAL = "VGPU"
_REASON = re.compile(r"clocks_(?:event|throttle)_reason_(\w+)")
_UNCORRECTED = ("sram_uncorrectable", "dram_uncorrectable", "double_bit/total")
_PARITY = ("sram_uncorrectable_parity", "sram_uncorrectable_secded")
_CORRECTED = ("sram_correctable", "dram_correctable", "single_bit/total")


@dataclass(frozen=True)
class Process:
    """A process on a GPU. `kind` is C for compute, G for graphics, C+G for both."""

    pid: int
    kind: str
    name: str


@dataclass(frozen=True)
class Card:
    """A GPU; None is what nvidia-smi does not know of it. Memory is in MiB, power in W.

    `reasons` are the active reasons for lower clocks, None where they are not told; `lost` are
    the fields whose value a GPU that fell off the bus did not give.
    """

    index: int
    address: str
    uuid: str | None
    name: str | None
    architecture: str | None
    memory_mib: float | None
    virtualization: str | None
    licensed_product: str | None
    licence: str | None
    ecc: str | None
    ecc_pending: str | None
    uncorrected: int | None
    uncorrected_ever: int | None
    corrected: int | None
    threshold_exceeded: str | None
    repairs: tuple[tuple[str, str], ...]
    recovery: str | None
    mig: str | None
    mig_pending: str | None
    mig_devices: tuple[float | None, ...]
    reasons: tuple[str, ...] | None
    power_limit: float | None
    power_default: float | None
    performance: str | None
    link: tuple[float | None, ...]
    width: tuple[float | None, ...]
    persistence: str | None
    compute_mode: str | None
    processes: tuple[Process, ...]
    lost: tuple[str, ...]

    @property
    def where(self) -> str:
        """How evidence names the GPU."""
        return f"GPU {self.index} {self.address}"


def read_cards(log: Element) -> tuple[Card, ...]:
    """Return the GPUs of a document, in its order."""
    return tuple(_card(index, gpu) for index, gpu in enumerate(log.findall("gpu")))


def _card(index: int, gpu: Element) -> Card:
    def text(path: str) -> str | None:
        return known(gpu.findtext(path))

    return Card(
        index=index,
        address=(gpu.get("id") or "").lower()[-12:],
        uuid=text("uuid"),
        name=text("product_name"),
        architecture=text("product_architecture"),
        memory_mib=number(gpu.findtext("fb_memory_usage/total")),
        virtualization=text("gpu_virtualization_mode/virtualization_mode"),
        licensed_product=text("vgpu_software_licensed_product/licensed_product_name"),
        licence=text("vgpu_software_licensed_product/license_status"),
        ecc=text("ecc_mode/current_ecc"),
        ecc_pending=text("ecc_mode/pending_ecc"),
        uncorrected=_errors(gpu, "volatile", (*_UNCORRECTED, *_PARITY)),
        uncorrected_ever=_errors(gpu, "aggregate", (*_UNCORRECTED, *_PARITY)),
        corrected=_errors(gpu, "volatile", _CORRECTED),
        threshold_exceeded=text("ecc_errors/aggregate/sram_threshold_exceeded"),
        repairs=_repairs(gpu),
        recovery=_recovery(gpu),
        mig=text("mig_mode/current_mig"),
        mig_pending=text("mig_mode/pending_mig"),
        mig_devices=tuple(
            number(device.findtext("fb_memory_usage/total"))
            for device in gpu.findall("mig_devices/mig_device")
        ),
        reasons=_reasons(gpu),
        power_limit=_power(gpu, ("current_power_limit", "enforced_power_limit", "power_limit")),
        power_default=_power(gpu, ("default_power_limit",)),
        performance=text("performance_state"),
        link=_pair(gpu, "pcie_gen/{}_link_gen"),
        width=_pair(gpu, "link_widths/{}_link_width"),
        persistence=text("persistence_mode"),
        compute_mode=text("compute_mode"),
        processes=tuple(_processes(gpu)),
        lost=tuple(e.tag for e in gpu.iter() if LOST in (e.text or "")),
    )


def _errors(gpu: Element, kind: str, names: tuple[str, ...]) -> int | None:
    found = [number(gpu.findtext(f"ecc_errors/{kind}/{name}")) for name in names]
    counts = [int(count) for count in found if count is not None]
    return sum(counts) if counts else None


_REPAIRS = (
    "retired_pages/multiple_single_bit_retirement/retired_count",
    "retired_pages/double_bit_retirement/retired_count",
    "retired_pages/pending_retirement",
    "retired_pages/pending_blacklist",
    "remapped_rows/remapped_row_corr",
    "remapped_rows/remapped_row_unc",
    "remapped_rows/remapped_row_pending",
    "remapped_rows/remapped_row_failure",
    "ecc_errors/channel_repair_pending",
    "ecc_errors/tpc_repair_pending",
    "ecc_errors/unrepairable_memory",
)


def _repairs(gpu: Element) -> tuple[tuple[str, str], ...]:
    """Return what is known of retired pages, remapped rows and repairs, by its place."""
    found = ((path, known(gpu.findtext(path))) for path in _REPAIRS)
    return tuple((path, text) for path, text in found if text is not None)


def _recovery(gpu: Element) -> str | None:
    """Return what the driver asks for, such as `Reset`; `None` in text is nothing to do."""
    action = known(gpu.findtext("gpu_recovery_action"))
    if action is not None:
        return action
    status = gpu.find("gpu_reset_status")
    if status is None or known(status.findtext("reset_required")) is None:
        return None
    for path, action in (
        ("reset_required", "GPU Reset"),
        ("drain_and_reset_recommended", "Drain and Reset"),
    ):
        if known(status.findtext(path)) == "Yes":
            return action
    return "None"


def _reasons(gpu: Element) -> tuple[str, ...] | None:
    block = gpu.find("clocks_event_reasons")
    block = gpu.find("clocks_throttle_reasons") if block is None else block
    if block is None or not len(block):
        return None
    active = [element.tag for element in block if (element.text or "").strip() == "Active"]
    matches = (_REASON.fullmatch(tag) for tag in active)
    return tuple(match[1] for match in matches if match)


def _power(gpu: Element, names: tuple[str, ...]) -> float | None:
    for block in ("gpu_power_readings", "power_readings"):
        for name in names:
            watts = number(gpu.findtext(f"{block}/{name}"))
            if watts is not None:
                return watts
    return None


def _pair(gpu: Element, path: str) -> tuple[float | None, ...]:
    """Return the present and the greatest value."""
    place = f"pci/pci_gpu_link_info/{path}"
    return tuple(number(gpu.findtext(place.format(word))) for word in ("current", "max"))


def _processes(gpu: Element) -> list[Process]:
    found = []
    for process in gpu.findall("processes/process_info"):
        pid = number(process.findtext("pid"))
        kind = known(process.findtext("type")) or "C"
        name = known(process.findtext("process_name")) or "unknown"
        found.append(Process(int(pid or 0), kind, name))
    return found
