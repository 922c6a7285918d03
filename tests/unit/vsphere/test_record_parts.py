"""GPUs and names that a world file can't hold as they are."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import vim

from provision.gpu.types import AssignmentPolicy, CardMode
from provision.plan.snapshot import (
    Card,
    CardUse,
    Connection,
    DeviceGroupInfo,
    GpuDevice,
    Host,
)
from provision.vsphere.collector import Found
from provision.vsphere.devices import VmConfig
from provision.vsphere.record_groups import group_entry, group_name, is_usual_group
from provision.vsphere.record_hosts import card_entries
from provision.vsphere.record_names import LONGEST, Names
from provision.vsphere.record_vms import changed_profiles, gpu_entry

Passthrough = vim.vm.device.VirtualPCIPassthrough


def _vgpu(profile: str) -> Any:
    return Passthrough(key=13000, backing=Passthrough.VmiopBackingInfo(vgpu=profile))


def _pinned(address: str) -> Any:
    backing = Passthrough.DeviceBackingInfo(
        id=address, deviceId="0x20b5", systemId="x", vendorId=0x10DE, deviceName="GPU"
    )
    return Passthrough(key=13000, backing=backing)


def _by_model(*device_ids: int) -> Any:
    allowed = [Passthrough.AllowedDevice(vendorId=0x10DE, deviceId=id_) for id_ in device_ids]
    return Passthrough(key=13000, backing=Passthrough.DynamicBackingInfo(allowedDevice=allowed))


@pytest.mark.parametrize(
    ("devices", "entry"),
    [
        ([], None),
        ([_vgpu("grid_a100d-10c")], {"vgpu": "grid_a100d-10c"}),
        ([_vgpu("nvidia_a100d-10c")], {"vgpu": "grid_a100d-10c"}),
        ([_vgpu("grid_a100d-80c")] * 2, {"vgpu": "grid_a100d-80c", "count": 2}),
        ([_vgpu("grid_a100d-10q")], {"vgpu": "grid_a100d-10c"}),
        ([_pinned("0000:3B:00.0")], {"passthrough": "0000:3b:00.0"}),
        ([_by_model(0x20B5, 0x20B2)], {"passthrough": "A100-80"}),
        ([_by_model(0x20B5)] * 3, {"passthrough": "A100-80", "count": 3}),
    ],
)
def test_gpus_are_described(devices: list[Any], entry: dict[str, Any] | None) -> None:
    assert gpu_entry(VmConfig(devices=devices), Names(anonymous=False)) == entry


@pytest.mark.parametrize(
    ("devices", "why"),
    [
        ([_vgpu("grid_a100d-10c"), _pinned("0000:3b:00.0")], "several kinds"),
        ([_vgpu("grid_a100d-10c"), _vgpu("grid_a100d-20c")], "several profiles"),
        ([_vgpu("grid_m60-8q")], "grid_m60-8q is not known"),
        ([_pinned("0000:3b:00.0"), _pinned("0000:86:00.0")], "several cards pinned"),
        ([_by_model(0x20B5), _by_model(0x27B8)], "several models"),
        ([_by_model(0x0001)], "10de:0001 is not known"),
    ],
)
def test_what_a_world_file_can_not_describe_is_refused(devices: list[Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        gpu_entry(VmConfig(devices=devices), Names(anonymous=False))


def test_a_profile_of_another_series_is_told() -> None:
    config = VmConfig(devices=[_vgpu("grid_a100d-10q"), _vgpu("grid_a100d-10q")])
    assert changed_profiles(config) == ["its vGPU grid_a100d-10q is recorded as grid_a100d-10c"]
    assert changed_profiles(VmConfig(devices=[_vgpu("grid_a100d-10c")])) == []


def _group(*devices: GpuDevice) -> DeviceGroupInfo:
    return DeviceGroupInfo("a group", devices)


def test_a_device_group_is_described_by_its_devices() -> None:
    whole = GpuDevice(-1, "vgpu", "nvidia_a100d-80c")
    assert group_entry(_group(whole, whole)) == {"profile": "grid_a100d-80c", "members": 2}
    for devices in ((), (whole, GpuDevice(-1, "other", "ConnectX-7"))):
        with pytest.raises(ValueError, match="not made of vGPUs of one profile"):
            group_entry(_group(*devices))


@pytest.mark.parametrize(
    ("name", "usual"),
    [
        ("Nvidia:2@grid_a100d-80c%NVLink", True),
        ("Nvidia:2@nvidia_a100d-80c%NVLink", False),
        ("Nvidia:2@grid_unheard-80c%NVLink", False),
        ("our pair", False),
    ],
)
def test_usual_names_of_device_groups_stay(name: str, usual: bool) -> None:  # noqa: FBT001 - a case
    names = Names(anonymous=True)
    assert is_usual_group(name) is usual
    assert group_name(name, names) == (name if usual else "group-1")


def _host(*cards: Card) -> Host:
    return Host(
        "host-1", "esx", Connection.CONNECTED, in_maintenance=False, cpus=1, memory=1,
        memory_reserved=0, api_version="", shared_direct=True,
        policy=AssignmentPolicy.PERFORMANCE, cards=cards,
    )  # fmt: skip


def test_cards_that_vdl_does_not_know_are_counted_and_left_out() -> None:
    known = Card("0000:3b:00.0", 0x10DE, 0x27B8, "NVIDIA L4", CardMode.SHARED)
    old = [
        Card(f"0000:{bus}:00.0", 0x10DE, 0x13F2, "Tesla M60", CardMode.NONE) for bus in ("86", "af")
    ]
    found = Found(vim.HostSystem("host-1"), {})
    entries, unknown = card_entries(found, _host(known, *old), Names(anonymous=False))
    assert [entry["model"] for entry in entries] == ["L4"]
    assert unknown == {"Tesla M60": 2}


def test_a_card_with_vgpus_on_mig_instances_is_in_mig_mode_though_its_host_can_not_say_so() -> None:
    uses = (CardUse("vm-1", "nvidia_h100-1-10c"),)
    card = Card("0000:3b:00.0", 0x10DE, 0x2331, "NVIDIA H100", CardMode.SHARED, uses=uses)
    found = Found(vim.HostSystem("host-1"), {})
    (entry,), _ = card_entries(found, _host(card), Names(anonymous=False))
    assert entry["vgpu_mode"] == "mig"


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("esx-01.example.com", "esx-01.example.com"),
        ("a%2fb%5cc", "a-b-c"),
        ("web [old]", "web -old-"),
        ("x" * 90, "x" * LONGEST),
        ("  ", "vm"),
        ("line\nbreak", "line-break"),
    ],
)
def test_names_fit_a_world_file(name: str, fits: str) -> None:
    assert Names(anonymous=False).give("vm", "vm-1", name) == fits


def test_names_are_unique_in_their_scope_and_stay() -> None:
    names = Names(anonymous=False)
    given = [names.give("vm", f"vm-{n}", "x" * LONGEST, "one cluster") for n in range(3)]
    assert len(set(given)) == 3
    assert max(map(len, given)) <= LONGEST
    assert names.give("vm", "vm-9", "x" * LONGEST, "another") == "x" * LONGEST
    assert names.give("vm", "vm-1", "whatever", "one cluster") == given[1]
