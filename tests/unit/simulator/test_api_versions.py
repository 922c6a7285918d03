"""The world's API version decides what there is: on the wire, in process and in world files."""

from __future__ import annotations

import re
import ssl
import urllib.request
from typing import Any

import pytest
from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import VmomiSupport, vim

from provision.errors import SpecError
from provision.simulator import worldfile
from provision.simulator.inventory import limits
from tests.conftest import MakeSimulator
from tests.unit.simulator.administrator import Administrator, add, vgpu

APIS = ("7.0.3.0", "8.0.3.0", "9.0.0.0")
WORLD = """
vcenter: {{api: {api}}}
DC0:
  templates: {{u24: {{hardware: 19}}}}
  clusters:
    gpu:
      hosts:
        esx-01: {{cards: {{count: 2, model: A100-80}}}}
"""
FULL = "grid_a100d-80c"


@pytest.fixture(params=APIS)
def admin(request: pytest.FixtureRequest, in_process: MakeSimulator) -> Administrator:
    return Administrator(in_process(WORLD.format(api=request.param)))


def _api(admin: Administrator) -> str:
    return str(admin.content.about.apiVersion)


def test_a_stock_client_speaks_the_newest_version_that_both_know(simulator: MakeSimulator) -> None:
    for api in APIS:
        made = simulator(WORLD.format(api=api))
        context = ssl.create_default_context(cafile=made.door.ca_file)
        host, _, port = made.door.server.partition(":")
        service = SmartConnect(
            host=host, port=int(port), user=made.username, pwd=made.password, sslContext=context
        )
        version = service._stub.version  # noqa: SLF001 - pyVmomi has no other way to it
        assert VmomiSupport.versionIdMap[version] == api
        view = service.content.viewManager.CreateContainerView(
            service.content.rootFolder, [vim.HostSystem], recursive=True
        )
        (found,) = view.view
        mode = found.config.graphicsInfo[0].vgpuMode
        assert mode == (None if api == "7.0.3.0" else "sameSize")
        Disconnect(service)


@pytest.mark.parametrize("api", APIS)
def test_the_versions_document_names_it_first_and_none_that_is_newer(
    simulator: MakeSimulator, api: str
) -> None:
    made = simulator(WORLD.format(api=api))
    context = ssl.create_default_context(cafile=made.door.ca_file)
    url = f"https://{made.door.server}/sdk/vimServiceVersions.xml"
    with urllib.request.urlopen(url, context=context) as answer:
        text = answer.read().decode()
    listed = [part.partition("<")[0] for part in text.split("<version>")[1:]]
    assert listed[0] == api
    assert all(_parts(version) < _parts(api) for version in listed[1:])
    assert "7.0.2.0" in listed


def _parts(version: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"(?:^|\.)(\d+)", version)]


def test_vgpu_modes_are_shown_from_8_0_3_on(admin: Administrator) -> None:
    info = admin.host("esx-01").config.graphicsInfo[0]
    assert info.vgpuMode == (None if _api(admin) == "7.0.3.0" else "sameSize")
    assert info.graphicsType == "sharedDirect"


def test_device_groups_are_offered_from_8_0_on(admin: Administrator) -> None:
    target = admin.cluster.environmentBrowser.QueryConfigTarget(host=admin.host("esx-01"))
    names = [group.deviceGroupName for group in target.vendorDeviceGroupInfo]
    old = _api(admin) == "7.0.3.0"
    assert names == ([] if old else [f"Nvidia:2@{FULL}%NVLink"])
    assert [profile.profileName for profile in target.vgpuProfileInfo]


def test_device_groups_of_a_client_that_is_too_new_are_not_taken(admin: Administrator) -> None:
    vm = admin.clone("vm")
    group = vim.vm.VirtualDeviceGroups.VendorDeviceGroup(
        groupInstanceKey=-1, deviceGroupName=f"Nvidia:2@{FULL}%NVLink"
    )
    members = [vgpu(FULL), vgpu(FULL)]
    for number, member in enumerate(members):
        member.deviceGroupInfo = vim.vm.device.VirtualDevice.DeviceGroupInfo(
            groupInstanceKey=-1, sequenceId=number
        )
    admin.reconfigure(
        vm,
        deviceChange=[add(member, -1 - n) for n, member in enumerate(members)],
        deviceGroups=vim.vm.VirtualDeviceGroups(deviceGroup=[group]),
    )
    assert bool(vm.config.deviceGroups) == (_api(admin) != "7.0.3.0")


def test_which_card_a_binding_means_is_told_from_9_1_on(in_process: MakeSimulator) -> None:
    for api, told in (("9.0.0.0", None), ("9.1.0.0", "0000:3b:00.0")):
        admin = Administrator(in_process(WORLD.format(api=api)))
        vm = admin.clone(
            "vm", memoryReservationLockedToMax=True, deviceChange=[add(vgpu(FULL))],
            extraConfig=[
                vim.option.OptionValue(key="pciPassthru.use64bitMMIO", value="TRUE"),
                vim.option.OptionValue(key="pciPassthru.64bitMMIOSizeGB", value="256"),
            ],
        )  # fmt: skip
        admin.power_on(vm)
        (binding,) = admin.host("esx-01").config.assignableHardwareBinding
        assert binding.pciId == told
        assert "0000:3b:00.0" in binding.instanceId


@pytest.mark.parametrize(
    ("api", "newest"), [("7.0.3.0", "vmx-19"), ("8.0.3.0", "vmx-21"), ("9.0.0.0", "vmx-22")]
)
def test_upgrades_lead_to_the_newest_hardware_of_the_release(
    in_process: MakeSimulator, api: str, newest: str
) -> None:
    world = WORLD.format(api=api).replace("hardware: 19", "hardware: 17")
    admin = Administrator(in_process(world))
    vm = admin.clone("vm")
    admin.wait(vm.UpgradeVM_Task())
    assert vm.config.version == newest
    with pytest.raises(vim.fault.AlreadyUpgraded):
        admin.wait(vm.UpgradeVM_Task())


@pytest.mark.parametrize(
    ("api", "hardware", "devices", "vgpus"),
    [
        ("7.0.3.0", 19, 16, 4),
        ("8.0.0.1", 20, 32, 8),
        ("8.0.1.0", 20, 64, 8),
        ("8.0.2.0", 20, 64, 16),
        ("8.0.2.0", 21, 128, 16),
        ("8.0.3.0", 21, 128, 16),
        ("9.0.0.0", 21, 128, 16),
        ("9.0.0.0", 22, 128, 16),
    ],
)
def test_a_vm_may_have_as_many_devices_as_its_release_and_hardware_allow(
    api: str, hardware: int, devices: int, vgpus: int
) -> None:
    assert limits.max_passthrough(api, hardware) == devices
    assert limits.max_vgpus(api) == vgpus


def test_one_vgpu_more_than_the_release_allows_is_refused(in_process: MakeSimulator) -> None:
    admin = Administrator(in_process(WORLD.format(api="7.0.3.0")))
    vm = admin.clone("vm")
    devices = [add(vgpu("grid_a100d-80c"), -1 - n) for n in range(5)]
    with pytest.raises(vim.fault.TooManyDevices, match="4 vGPUs and 16"):
        admin.reconfigure(vm, deviceChange=devices)
    admin.reconfigure(vm, deviceChange=devices[:4])


def _world(api: str, card: str = "model: A100-80", **vm: Any) -> dict[str, Any]:
    mode = card.partition("vgpu_mode: ")[2] or "sameSize"
    hosts = {"esx-01": {"cards": {"model": "A100-80", "vgpu_mode": mode, "count": 2}}}
    vms = {"vm": vm} if vm else {}
    return {"vcenter": {"api": api}, "DC0": {"clusters": {"gpu": {"hosts": hosts, "vms": vms}}}}


@pytest.mark.parametrize(
    ("world", "says"),
    [
        (_world("7.0.3.0", "vgpu_mode: mixedSize"), "mixedSize came with API 8.0.3"),
        (_world("8.0.2.0", "vgpu_mode: mixedSize"), "mixedSize came with API 8.0.3"),
        (_world("7.0.1.0", "vgpu_mode: mig"), "multiInstanceGpu came with API 7.0.2"),
        (_world("7.0.3.0", hardware=20), "API 7.0.3.0 has hardware versions up to 19"),
        (_world("8.0.3.0", hardware=22), "API 8.0.3.0 has hardware versions up to 21"),
        (
            _world("7.0.3.0", gpu={"group": f"Nvidia:2@{FULL}%NVLink"}),
            "device groups came with API 8.0",
        ),
    ],
)
def test_a_world_that_is_too_new_for_its_api_is_refused(world: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as refused:
        worldfile.from_data(world)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "world",
    [
        _world("8.0.3.0", "vgpu_mode: mixedSize"),
        _world("7.0.2.0", "vgpu_mode: mig"),
        _world("9.0.0.0", hardware=22),
        _world("8.0.0.1", gpu={"group": f"Nvidia:2@{FULL}%NVLink"}),
    ],
)
def test_a_world_of_the_right_age_is_served(
    world: dict[str, Any], in_process: MakeSimulator
) -> None:
    assert in_process(world).host("esx-01").cards
