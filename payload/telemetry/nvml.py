"""NVIDIA GPUs at work, through NVML, the driver's own library (package nvidia-ml-py).

A card may lack any property on its own: a vGPU seldom tells its power, an older driver not every
function. What a card says that it does not support is not asked for again; any other error is
kept, and the property is asked for again with the next sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

MIB = 1 << 20


def _throttle_bits(nvml: Any, card: Any) -> int:
    try:
        return int(nvml.nvmlDeviceGetCurrentClocksEventReasons(card))
    except nvml.NVMLError_FunctionNotFound:
        # Drivers before 535 have the same bits under the older name only.
        return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(card))


def _temperature(nvml: Any, card: Any) -> int:
    try:
        return int(nvml.nvmlDeviceGetTemperatureV(card, nvml.NVML_TEMPERATURE_GPU))
    except nvml.NVMLError_FunctionNotFound:
        # To go away with CUDA 14, and the only one in drivers before 570.
        return int(nvml.nvmlDeviceGetTemperature(card, nvml.NVML_TEMPERATURE_GPU))


def _licensed(nvml: Any, card: Any) -> bool | None:
    if nvml.nvmlDeviceGetVirtualizationMode(card) != nvml.NVML_GPU_VIRTUALIZATION_MODE_VGPU:
        return None  # a whole card needs no licence to compute, though it may be given one
    features = nvml.nvmlDeviceGetGridLicensableFeatures(card)
    listed = features.gridLicensableFeatures[: features.licensableFeaturesCount]
    return any(feature.featureEnabled for feature in listed)


# What a card says, in the document's units, from an NVML module and a device handle.
_READINGS: Mapping[str, Callable[[Any, Any], Any]] = {
    "utilisation_percent": lambda nvml, card: nvml.nvmlDeviceGetUtilizationRates(card).gpu,
    "memory_used_mib": lambda nvml, card: nvml.nvmlDeviceGetMemoryInfo(card).used / MIB,
    "power_w": lambda nvml, card: nvml.nvmlDeviceGetPowerUsage(card) / 1000,
    "temperature_c": _temperature,
    "clock_sm_mhz": lambda nvml, card: nvml.nvmlDeviceGetClockInfo(card, nvml.NVML_CLOCK_SM),
    "clock_memory_mhz": lambda nvml, card: nvml.nvmlDeviceGetClockInfo(card, nvml.NVML_CLOCK_MEM),
    "throttle": _throttle_bits,
    "energy_joules": lambda nvml, card: nvml.nvmlDeviceGetTotalEnergyConsumption(card) / 1000,
    "licensed": _licensed,
    "processes": lambda nvml, card: frozenset(
        process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(card)
    ),
}


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One look at a card; what it does not tell is `None`.

    Attributes:
        utilisation_percent: Share of the driver's last sample period with a kernel running.
        memory_used_mib: By all processes.
        power_w: Of the board.
        temperature_c: Of the chip.
        clock_sm_mhz: Of the streaming multiprocessors.
        clock_memory_mhz: Of the memory.
        throttle: NVML's bit field of reasons why the clock is not higher (`throttle.BITS`).
        energy_joules: Since the driver was loaded.
        licensed: Whether a vGPU licence is in use; `None` where none is needed.
        processes: Ids of the processes that compute on the card.
    """

    utilisation_percent: float | None = None
    memory_used_mib: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    clock_sm_mhz: float | None = None
    clock_memory_mhz: float | None = None
    throttle: int | None = None
    energy_joules: float | None = None
    licensed: bool | None = None
    processes: frozenset[int] | None = None


@dataclass(slots=True)
class Card:
    """One GPU.

    Attributes:
        nvml: The module `pynvml`, initialised.
        handle: NVML's device handle.
        uuid: As `nvidia-smi -L` shows it.
        errors: What a property last answered instead of a value, by the property's name.
    """

    nvml: Any
    handle: Any
    uuid: str
    errors: dict[str, str] = field(default_factory=dict)
    _unsupported: set[str] = field(default_factory=set)

    def read(self) -> GpuSample:
        """Look at the card once. It raises nothing: what fails is `None`, and noted."""
        return GpuSample(**{name: self._value(name) for name in _READINGS})

    def _value(self, name: str) -> Any:
        if name in self._unsupported:
            return None
        try:
            return _READINGS[name](self.nvml, self.handle)
        except (
            self.nvml.NVMLError_NotSupported,
            self.nvml.NVMLError_FunctionNotFound,
            self.nvml.NVMLError_NoPermission,
        ):
            self._unsupported.add(name)
        except self.nvml.NVMLError as error:
            self.errors[name] = str(error)
        return None


@dataclass(frozen=True, slots=True)
class Cards:
    """All GPUs that NVML lists; `absent` says why there are none to look at."""

    cards: tuple[Card, ...] = ()
    absent: str | None = None
    nvml: Any = None

    @classmethod
    def open(cls) -> Cards:
        """Return the cards of this machine, ready to be read."""
        try:
            nvml = import_module("pynvml")
        except ModuleNotFoundError:
            return cls(absent="the Python package nvidia-ml-py is not installed")
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            return cls(absent=str(error))
        try:
            count = nvml.nvmlDeviceGetCount()
            handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
            cards = tuple(Card(nvml, each, nvml.nvmlDeviceGetUUID(each)) for each in handles)
        except nvml.NVMLError as error:
            nvml.nvmlShutdown()
            return cls(absent=str(error))
        return cls(cards, None if cards else "NVML lists no GPU", nvml)

    def close(self) -> None:
        """Leave NVML; a driver that is gone by now is no reason to fail."""
        if self.nvml is None:
            return
        try:
            self.nvml.nvmlShutdown()
        except self.nvml.NVMLError:
            return
