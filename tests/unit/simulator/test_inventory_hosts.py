"""Hosts: discovery of GPUs, maintenance, reboots, and how cards are set."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import vim, vmodl

from provision.simulator.engine.clock import ManualClock
from tests.conftest import MakeSimulator
from tests.unit.simulator.administrator import Administrator, add, mmio, vgpu

WORLD = """
latency: {RebootHost_Task: 10 s}
DC0:
  templates: {u24: {}}
  clusters:
    gpu:
      hosts:
        esx-01: {memory: 256 GiB, cards: {count: 2, model: A100-80}, policy: consolidation}
        esx-02:
          memory: 256 GiB
          cards:
            - {model: A100-80, mode: passthrough, label: fast}
            - {model: L4, mode: passthrough, active: false}
        esx-03: {memory: 256 GiB, cards: {model: H100-80, vgpu_mode: mig}, rebind: true}
        esx-04: {memory: 256 GiB, cards: {model: L4, mode: none}, reboots: false}
      vms:
        web: {host: esx-01, power: on}
        job: {host: esx-03, memory: 8 GiB, power: on, gpu: {vgpu: nvidia_h100-7-80c}}
"""
FIRST, SECOND = "0000:3b:00.0", "0000:86:00.0"


@pytest.fixture
def done(admin: Administrator, clock: ManualClock) -> Any:
    """Return a function that lets a task run to its end."""

    def finish(task: Any) -> Any:
        clock.advance(10)
        return admin.wait(task)

    return finish


def target(admin: Administrator, host: str | None = None) -> Any:
    browser = admin.cluster.environmentBrowser
    return browser.QueryConfigTarget(host=admin.host(host) if host else None)


def passthru(host: Any, address: str) -> tuple[bool, bool]:
    (info,) = (i for i in host.config.pciPassthruInfo if i.id == address)
    return info.passthruEnabled, info.passthruActive


def test_pci_devices_have_signed_ids_and_are_not_all_gpus(admin: Administrator) -> None:
    devices = admin.host("esx-01").hardware.pciDevice
    assert [d.vendorId & 0xFFFF for d in devices] == [0x8086, 0x10DE, 0x10DE]
    assert devices[1].deviceId & 0xFFFF == 0x20B5
    numa = admin.host("esx-01").hardware.numaInfo
    assert [list(node.pciId) for node in numa.numaNode] == [[FIRST], [SECOND]]


def test_each_mode_is_shown_where_vsphere_shows_it(admin: Administrator) -> None:
    assert passthru(admin.host("esx-01"), FIRST) == (False, False)
    assert passthru(admin.host("esx-02"), FIRST) == (True, True)
    assert passthru(admin.host("esx-02"), SECOND) == (True, False)
    kinds = {
        name: [card.graphicsType for card in admin.host(name).config.graphicsInfo]
        for name in ("esx-01", "esx-02", "esx-04")
    }
    assert kinds == {
        "esx-01": ["sharedDirect", "sharedDirect"],
        "esx-02": ["direct", "shared"],
        "esx-04": ["shared"],
    }
    (mig,) = admin.host("esx-03").config.graphicsInfo
    assert mig.vgpuMode == "multiInstanceGpu"
    assert [vm.name for vm in mig.vm] == ["job"]
    assert (
        admin.host("esx-01").config.graphicsConfig.sharedPassthruAssignmentPolicy == "consolidation"
    )


def test_a_config_target_tells_of_one_host_or_of_all(admin: Administrator) -> None:
    shared, direct, mig = (target(admin, f"esx-0{n}") for n in (1, 2, 3))
    assert not shared.pciPassthrough
    assert "grid_a100d-10c" in {entry.vgpu for entry in shared.sharedGpuPassthroughTypes}
    (profile,) = (p for p in shared.vgpuProfileInfo if p.profileName == "grid_a100d-10c")
    assert (profile.fbSizeInGib, profile.profileSharing) == (10, "timeSliced")
    (device,) = shared.vgpuDeviceInfo
    assert (device.maxFbSizeInGib, device.deviceVendorId) == (80, 0x20B510DE)
    (card,) = direct.pciPassthrough
    assert (card.pciDevice.id, card.systemId) == (
        FIRST,
        admin.host("esx-02").hardware.systemInfo.uuid,
    )
    (dynamic,) = direct.dynamicPassthrough
    assert (dynamic.deviceId, dynamic.customLabel) == (0x20B5, "fast")
    assert {p.profileSharing for p in mig.vgpuProfileInfo} == {"mig"}
    groups = {entry.deviceGroupName for entry in shared.vendorDeviceGroupInfo}
    assert groups == {"Nvidia:2@grid_a100d-80c%NVLink"}
    everything = target(admin)
    assert len(everything.vgpuProfileInfo) == len(shared.vgpuProfileInfo) + len(mig.vgpuProfileInfo)


@pytest.mark.parametrize(
    ("api", "most", "newest"),
    [("7.0.3.0", 4, "vmx-19"), ("8.0.0.0", 8, "vmx-20"), ("8.0.3.0", 16, "vmx-21")],
)
def test_config_options_tell_limits_of_the_release(
    in_process: MakeSimulator, api: str, most: int, newest: str
) -> None:
    admin = Administrator(in_process(f"vcenter: {{api: {api}}}\n{WORLD}"))
    browser = admin.cluster.environmentBrowser
    option = browser.QueryConfigOption(key=None, host=admin.host("esx-01"))
    (device,) = option.hardwareOptions.virtualDeviceOption
    assert {b.maxInstances for b in device.backingOption} == {most}
    keys = [d.key for d in browser.QueryConfigOptionDescriptor() if d.defaultConfigOption]
    assert keys == [newest] == [option.version]
    with pytest.raises(vmodl.fault.InvalidArgument):
        browser.QueryConfigOption(key="vmx-99", host=None)


def test_passthrough_is_active_after_a_reboot(
    admin: Administrator, clock: ManualClock, done: Any
) -> None:
    host = admin.host("esx-02")
    config = [
        vim.host.PciPassthruConfig(id=FIRST, passthruEnabled=False),
        vim.host.PciPassthruConfig(id=SECOND, passthruEnabled=True, hardwareLabel="slow"),
    ]
    host.configManager.pciPassthruSystem.UpdatePassthruConfig(config)
    assert (passthru(host, FIRST), passthru(host, SECOND)) == ((False, True), (True, False))
    assert host.summary.rebootRequired
    with pytest.raises(vim.fault.InvalidState):
        done(host.RebootHost_Task(force=False))
    done(host.EnterMaintenanceMode_Task(timeout=0))
    before = host.runtime.bootTime
    done(host.RebootHost_Task(force=False))
    assert host.runtime.connectionState == "notResponding"
    with pytest.raises(vmodl.fault.HostNotConnected):
        done(host.EnterMaintenanceMode_Task(timeout=0))
    clock.advance(10)
    assert host.runtime.connectionState == "connected"
    assert host.runtime.bootTime > before
    assert (passthru(host, FIRST), passthru(host, SECOND)) == ((False, False), (True, True))
    assert not host.summary.rebootRequired
    assert host.runtime.inMaintenanceMode
    assert "grid_a100d-10c" in host.config.sharedPassthruGpuTypes
    done(host.ExitMaintenanceMode_Task(timeout=0))
    with pytest.raises(vim.fault.InvalidState):
        done(host.ExitMaintenanceMode_Task(timeout=0))


def test_a_host_may_never_come_back(admin: Administrator, clock: ManualClock, done: Any) -> None:
    host = admin.host("esx-04")
    done(host.RebootHost_Task(force=True))
    clock.advance(900)
    assert host.runtime.connectionState == "notResponding"


def test_some_hosts_need_no_reboot(admin: Administrator, done: Any) -> None:
    host, job = admin.host("esx-03"), admin.vm("job")
    system = host.configManager.pciPassthruSystem
    assert host.capability.deviceRebindWithoutRebootSupported
    change = [vim.host.PciPassthruConfig(id=FIRST, passthruEnabled=True, applyNow=True)]
    with pytest.raises(vim.fault.HostConfigFault, match="job"):
        system.UpdatePassthruConfig(change)
    done(job.PowerOffVM_Task())
    system.UpdatePassthruConfig(change)
    assert passthru(host, FIRST) == (True, True)
    with pytest.raises(vmodl.fault.InvalidArgument, match="0000:99"):
        system.UpdatePassthruConfig([vim.host.PciPassthruConfig(id="0000:99:00.0")])


def graphics(policy: str, kind: str, **modes: str) -> Any:
    devices = [
        vim.host.GraphicsConfig.DeviceType(deviceId=address, graphicsType=kind, vgpuMode=mode)
        for address, mode in modes.items()
    ]
    return vim.host.GraphicsConfig(
        hostDefaultGraphicsType=kind, sharedPassthruAssignmentPolicy=policy, deviceType=devices
    )


def test_graphics_settings_wait_for_a_reboot_but_the_policy_does_not(
    admin: Administrator, clock: ManualClock, done: Any
) -> None:
    host = admin.host("esx-04")
    manager = host.configManager.graphicsManager
    manager.UpdateGraphicsConfig(graphics("consolidation", "sharedDirect", **{FIRST: "mixedSize"}))
    assert host.config.graphicsConfig.sharedPassthruAssignmentPolicy == "consolidation"
    assert host.config.graphicsInfo[0].graphicsType == "shared"
    assert not manager.IsSharedGraphicsActive()
    assert host.summary.rebootRequired
    admin.simulator.host("esx-04").reboots = True
    done(host.RebootHost_Task(force=True))
    clock.advance(10)
    card = host.config.graphicsInfo[0]
    assert (card.graphicsType, card.vgpuMode) == ("sharedDirect", "mixedSize")
    assert "nvidia_l4-24c" in [info.profileName for info in manager.RetrieveVgpuProfileInfo()]
    assert [info.vgpu for info in host.config.sharedGpuCapabilities] == sorted(
        host.config.sharedPassthruGpuTypes
    )


def test_graphics_settings_of_a_card_in_use_stay(admin: Administrator) -> None:
    manager = admin.host("esx-03").configManager.graphicsManager
    with pytest.raises(vmodl.fault.NotSupported, match="job"):
        manager.UpdateGraphicsConfig(graphics("performance", "shared"))
    for address, mode, said in (
        ("0000:99:00.0", "sameSize", "0000:99"),
        (FIRST, "multiInstanceGpu", "multiInstanceGpu can't be set"),
    ):
        with pytest.raises(vmodl.fault.InvalidArgument, match=said):
            manager.UpdateGraphicsConfig(graphics("performance", "sharedDirect", **{address: mode}))


def test_drs_clears_a_host_for_maintenance_as_far_as_it_can(
    admin: Administrator, done: Any
) -> None:
    done(admin.host("esx-01").EnterMaintenanceMode_Task(timeout=0))
    assert admin.vm("web").runtime.host != admin.host("esx-01")
    assert admin.vm("web").runtime.powerState == "poweredOn"
    with pytest.raises(vim.fault.Timedout, match="job still run"):
        done(admin.host("esx-03").EnterMaintenanceMode_Task(timeout=5))


def test_maintenance_mode_waits_for_vms_that_nothing_moves(admin: Administrator, done: Any) -> None:
    host = admin.host("esx-03")
    given_up = host.EnterMaintenanceMode_Task(timeout=0)
    entering = host.EnterMaintenanceMode_Task(timeout=0)
    done(admin.vm("web").PowerOffVM_Task())
    assert (given_up.info.state, host.runtime.inMaintenanceMode) == ("running", False)
    given_up.CancelTask()
    done(admin.vm("job").PowerOffVM_Task())
    done(entering)
    assert host.runtime.inMaintenanceMode


def test_a_disconnected_host_starts_no_vm(admin: Administrator, done: Any) -> None:
    host = admin.host("esx-01")
    vm = admin.clone("mine")
    done(host.DisconnectHost_Task())
    assert vm.runtime.connectionState == "disconnected"
    with pytest.raises(vmodl.fault.HostNotConnected, match="esx-01"):
        done(vm.PowerOnVM_Task())
    done(host.ReconnectHost_Task())
    done(vm.PowerOnVM_Task())


def test_memory_of_running_vms_is_reserved_in_the_pool(admin: Administrator, done: Any) -> None:
    pool = admin.cluster.resourcePool
    before = pool.runtime.memory.reservationUsedForVm
    vm = admin.clone(
        "mine",
        memoryMB=8192,
        memoryReservationLockedToMax=True,
        extraConfig=mmio(256),
        deviceChange=[add(vgpu("grid_a100d-10c"))],
    )
    assert pool.runtime.memory.reservationUsedForVm == before
    done(vm.PowerOnVM_Task())
    assert pool.runtime.memory.reservationUsedForVm == before + 8 * 2**30
