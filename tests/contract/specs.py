"""Devices and settings that the cases use."""

from __future__ import annotations

from typing import Any

from pyVmomi import vim

Passthrough = vim.vm.device.VirtualPCIPassthrough


def option(key: str, value: str) -> Any:
    return vim.option.OptionValue(key=key, value=value)


def extra(vm: Any) -> dict[str, str]:
    return {o.key: o.value for o in vm.config.extraConfig if o.key.startswith("vdl.")}


def change(operation: str, device: Any, *, file: str | None = None) -> Any:
    return vim.vm.device.VirtualDeviceSpec(operation=operation, device=device, fileOperation=file)


def vgpu(key: int = -1, profile: str = "grid_a100d-10c") -> Any:
    return Passthrough(key=key, backing=Passthrough.VmiopBackingInfo(vgpu=profile))


def network_card(key: int = -1) -> Any:
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network")
    return vim.vm.device.VirtualVmxnet3(key=key, backing=backing)


def disk(controller: int, unit: int, key: int = -1) -> Any:
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(diskMode="persistent", fileName="")
    return vim.vm.device.VirtualDisk(
        key=key, controllerKey=controller, unitNumber=unit, capacityInKB=2**20, backing=backing
    )


def devices(vm: Any, kind: type[Any]) -> list[Any]:
    return [d for d in vm.config.hardware.device if isinstance(d, kind)]
