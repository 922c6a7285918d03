"""What `vdl provision` does to machines that run and are not as the lab file says."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import vim

from tests.e2e.site import PROFILE, Site
from tests.e2e.vcenter import administrator, vms
from tests.faults.apply_site import wait_for_task

GIB = 2**30


@pytest.fixture
def site(fresh_site: Site) -> Site:
    return fresh_site


def started(site: Site, name: str) -> object:
    """Return when a VM was powered on last."""
    with administrator(site) as content:
        return vms(content)[name].runtime.bootTime


def test_a_power_cycle_needs_consent(site: Site) -> None:
    site.vdl("provision", site.lab("grow", cpu={}), "--yes").good()
    before = started(site, "grow-cpu-1")
    lab = site.lab("grow", cpu={"cpus": 4})
    refused = site.vdl("provision", lab, "--yes")
    refused.refused(3, "drift-restart", "grow-cpu-1", "--allow-restart")
    assert site.vdl("plan", lab).code == 3
    assert started(site, "grow-cpu-1") == before
    assert "warning: drift-restart" in site.vdl("plan", lab, "--allow-restart").good().out
    site.vdl("provision", lab, "--yes", "--allow-restart").good()
    with administrator(site) as content:
        assert vms(content)["grow-cpu-1"].config.hardware.numCPU == 4
    assert started(site, "grow-cpu-1") != before
    site.vdl("destroy", lab, "--yes").good()


def test_a_new_vm_in_the_place_of_one_needs_consent(site: Site) -> None:
    site.vdl("provision", site.lab("less", cpu={"disk": "60 GiB"}), "--yes").good()
    lab = site.lab("less", cpu={"disk": "50 GiB"})
    site.vdl("provision", lab, "--yes").refused(3, "drift-replace", "less-cpu-1")
    site.vdl("provision", lab, "--yes", "--allow-restart").good()
    assert site.vdl("plan", lab, "--check").good()
    site.vdl("destroy", lab, "--yes").good()


def test_a_disk_grows_while_the_machine_runs(site: Site) -> None:
    gpu = {"vgpu": PROFILE}
    site.vdl("provision", site.lab("disk", shared={"gpu": gpu}), "--yes").good()
    before = started(site, "disk-shared-1")
    lab = site.lab("disk", shared={"gpu": gpu, "disk": "60 GiB"})
    done = site.vdl("provision", lab, "--yes").good()
    assert "disk: changed while it runs" in done.err
    with administrator(site) as content:
        hardware = vms(content)["disk-shared-1"].config.hardware
        disks = [d for d in hardware.device if isinstance(d, vim.vm.device.VirtualDisk)]
        assert [disk.capacityInBytes for disk in disks] == [60 * GIB]
    assert started(site, "disk-shared-1") == before
    assert site.vdl("plan", lab, "--check").good()
    site.vdl("destroy", lab, "--yes").good()


def test_devices_that_somebody_else_added_stay(site: Site) -> None:
    gpu = {"vgpu": PROFILE}
    site.vdl("provision", site.lab("kept", shared={"gpu": gpu}), "--yes").good()
    pci = vim.vm.device.VirtualPCIPassthrough
    fpga = pci(key=-7, backing=pci.DvxBackingInfo(deviceClass="com.example.fpga"))
    add_by_hand(site, "kept-shared-1", [fpga, vim.vm.device.VirtualUSBController(key=-8)])
    lab = site.lab("kept", shared={"gpu": {"vgpu": "grid_a100d-20c"}, "cpus": 4})
    site.vdl("provision", lab, "--yes").good()
    with administrator(site) as content:
        devices = vms(content)["kept-shared-1"].config.hardware.device
        backings = [device.backing for device in devices if isinstance(device, pci)]
        classes = [b.deviceClass for b in backings if isinstance(b, pci.DvxBackingInfo)]
        profiles = [b.vgpu for b in backings if isinstance(b, pci.VmiopBackingInfo)]
        assert (classes, profiles) == (["com.example.fpga"], ["grid_a100d-20c"])
        assert any(isinstance(d, vim.vm.device.VirtualUSBController) for d in devices)
    assert site.vdl("plan", lab, "--check").good()
    site.vdl("destroy", lab, "--yes").good()


def add_by_hand(site: Site, name: str, devices: list[Any]) -> None:
    """Power a VM off and give it devices, as an administrator does by hand."""
    spec = vim.vm.device.VirtualDeviceSpec
    changes = [spec(operation="add", device=device) for device in devices]
    with administrator(site) as content:
        vm = vms(content)[name]
        wait_for_task(vm.PowerOffVM_Task())
        wait_for_task(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=changes)))


def test_settings_that_somebody_took_away_come_back_with_the_next_power_cycle(site: Site) -> None:
    lab = site.lab("tidy", shared={"gpu": {"vgpu": PROFILE}})
    site.vdl("provision", lab, "--yes").good()
    key = "pciPassthru.64bitMMIOSizeGB"
    small = vim.option.OptionValue(key=key, value="64")
    with administrator(site) as content:
        vm = vms(content)["tidy-shared-1"]
        wait_for_task(vm.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=[small])))
    site.vdl("provision", lab, "--yes").refused(3, "drift-restart", f"{key} 64 → 256")
    site.vdl("provision", lab, "--yes", "--allow-restart").good()
    with administrator(site) as content:
        extra = vms(content)["tidy-shared-1"].config.extraConfig
        assert [option.value for option in extra if option.key == key] == ["256"]
    assert site.vdl("plan", lab, "--check").good()
    site.vdl("destroy", lab, "--yes").good()
