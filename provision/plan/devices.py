"""GPU devices of VMs in words: a PCI id says nothing to a person, a card's model does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from provision.plan.needs import model_of, models_of
from provision.plan.snapshot import Card, GpuDevice, Vm
from provision.spec.model import GpuRequest, GroupRequest, VgpuRequest
from provision.spec.values import ADDRESS


def devices_text(devices: Iterable[GpuDevice], cards: Sequence[Card] = ()) -> str:
    """Return what a VM has, such as `2 x grid_a100d-10c, A100-80 (passthrough)`.

    Args:
        devices: Its devices; those of one device group count as one.
        cards: The cards of its host, which tell the model behind an address.
    """
    every = list(devices)
    groups = {gpu.group_key: gpu for gpu in every if gpu.group_key is not None}
    single = (gpu for gpu in every if gpu.group_key is None)
    counts = Counter(device_text(gpu, cards) for gpu in (*groups.values(), *single))
    return ", ".join(times(count, text) for text, count in sorted(counts.items()))


def device_text(device: GpuDevice, cards: Sequence[Card] = ()) -> str:
    """Return one device as a person reads it; ids of no known model stay as they are."""
    if device.kind != "passthrough":
        return device.value
    keys = [model.key for model in models_of(device)]
    at = next((card for card in cards if card.address == device.value), None)
    if at is not None and (model := model_of(at)) is not None:
        keys = [f"{model.key} at {device.value}"]
    text = " or ".join(dict.fromkeys(keys)) or device.value
    label = f" labelled {device.label}" if device.label else ""
    return f"{text}{label} (passthrough)"


def request_text(request: GpuRequest | None) -> str:
    """Return a GPU request as a person reads it."""
    if request is None:
        return "none"
    if isinstance(request, GroupRequest):
        return request.group
    if isinstance(request, VgpuRequest):
        return times(request.count, request.vgpu)
    return times(request.count, f"{request.cards} (passthrough)")


def is_pinned(vm: Vm) -> bool:
    """Whether a VM has a device that is one card of one host, named by its address."""
    return any(re.fullmatch(ADDRESS, gpu.value) for gpu in vm.gpus)


def times(count: int, text: str) -> str:
    """Return `2 x TEXT`, and the text alone where there is one."""
    return text if count == 1 else f"{count} x {text}"
