"""Hosts by hand, for the pure part of host preparation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from provision.gpu.types import AssignmentPolicy, VgpuMode
from provision.plan.snapshot import Connection, GpuDevice, Power
from provision.vsphere.host_port import GpuState, HostState, HostVm

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOOTED = datetime(2026, 2, 1, tzinfo=UTC)
FIRST, SECOND, THIRD = "0000:3b:00.0", "0000:86:00.0", "0000:af:00.0"
A100_80, A100_40, T4 = 0x20B5, 0x20B0, 0x1EB8


def gpu(address: str = FIRST, device_id: int = A100_80, **fields: Any) -> GpuState:
    """Return a shared card; equal cards have equal names, as in a real host."""
    known: dict[str, Any] = {"vgpu_mode": VgpuMode.SAME_SIZE} | fields
    return GpuState(address, 0x10DE, device_id, "NVIDIA card", **known)


def passed(address: str = FIRST, **fields: Any) -> GpuState:
    """Return a card that is passed through."""
    known = {"enabled": True, "active": True, "graphics": "direct", "vgpu_mode": None} | fields
    return gpu(address, **known)


def host(*gpus: GpuState, **fields: Any) -> HostState:
    """Return a connected host in shared direct without VMs, in a cluster with DRS."""
    state = HostState(
        id="host-1",
        name="esx-01",
        connection=Connection.CONNECTED,
        in_maintenance=False,
        api_version="8.0.3.0",
        default_graphics="sharedDirect",
        policy=AssignmentPolicy.PERFORMANCE,
        booted=BOOTED,
        gpus=gpus or (gpu(), gpu(SECOND)),
        profiles=("grid_a100d-10c",),
        evacuates=True,
    )
    return replace(state, **fields)


def vm(name: str = "job", *devices: str, **fields: Any) -> HostVm:
    """Return a powered-on VM with vGPUs of these profiles; its id is its name."""
    held = tuple(GpuDevice(n, "vgpu", profile) for n, profile in enumerate(devices))
    known: dict[str, Any] = {"power": Power.ON} | fields
    return HostVm(name, name, devices=held, **known)
