"""VMware's own command line, built from source, is content with the simulated vCenter."""

from __future__ import annotations

from tests.contract.govccli import MMIO, Attempt, Govc, as_json


def test_about(govc: Govc) -> None:
    about = as_json(govc, "about")["about"]
    assert (about["apiType"], about["apiVersion"]) == ("VirtualCenter", "8.0.3.0")


def test_ls_and_find_walk_the_tree(govc: Govc) -> None:
    assert govc("ls").split() == ["/DC0/vm", "/DC0/host", "/DC0/datastore", "/DC0/network"]
    assert govc("find", "/", "-type", "h").split() == [
        "/DC0/host/gpu/esx-01",
        "/DC0/host/gpu/esx-02",
    ]
    assert govc("find", "/DC0/vm", "-name", "old-*").split() == ["/DC0/vm/old-job"]


def test_vm_info_shows_power_address_and_settings(govc: Govc) -> None:
    (vm,) = as_json(govc, "vm.info", "old-job")["virtualMachines"]
    assert vm["runtime"]["powerState"] == "poweredOn"
    assert vm["guest"]["ipAddress"].startswith("198.18.")
    assert "pciPassthru.use64bitMMIO" in govc("vm.info", "-e", "old-job")


def test_device_info_names_the_vgpu(govc: Govc) -> None:
    devices = as_json(govc, "device.info", "-vm", "old-job")["devices"]
    (vgpu,) = (d for d in devices if d["type"] == "VirtualPCIPassthrough")
    assert (vgpu["key"], vgpu["backing"]["vgpu"]) == (13000, "grid_a100d-80c")


def test_host_info(govc: Govc) -> None:
    (host,) = as_json(govc, "host.info", "esx-01")["hostSystems"]
    assert host["summary"]["hardware"]["memorySize"] == 512 * 2**30
    assert host["runtime"]["connectionState"] == "connected"


def test_gpu_commands_see_cards_and_profiles(govc: Govc) -> None:
    devices = as_json(govc, "gpu.host.info", "-host", "esx-01")["devices"]
    assert [device["pciId"] for device in devices] == ["0000:3b:00.0", "0000:86:00.0"]
    assert "grid_a100d-10c" in govc("gpu.host.profile.ls", "-host", "esx-02")
    assert "grid_a100d-80c" in govc("gpu.vm.info", "-vm", "old-job")


def test_storage_pools_and_sessions(govc: Govc) -> None:
    (store,) = as_json(govc, "datastore.info", "vsan")["datastores"]
    assert store["summary"]["capacity"] == 20 * 2**40
    assert "Resources" in govc("pool.info", "gpu/Resources")
    assert "administrator@vsphere.local" in govc("session.ls")
    assert "vdl.simulated" in govc("option.ls")


def test_a_vm_with_a_vgpu_lives_and_dies(govc: Govc) -> None:
    where = ("-host", "esx-02", "-pool", "gpu/Resources")
    govc("vm.clone", "-vm", "u24", "-on=false", *where, "mine")
    govc("vm.change", "-vm", "mine", "-memory-pin=true", *MMIO)
    govc("gpu.vm.add", "-vm", "mine", "-profile", "grid_a100d-10c")
    govc("vm.power", "-on", "mine")
    (vm,) = as_json(govc, "vm.info", "mine")["virtualMachines"]
    assert vm["runtime"]["powerState"] == "poweredOn"
    govc("vm.power", "-off", "mine")
    govc("vm.destroy", "mine")
    assert govc("find", "/DC0/vm", "-name", "mine") == ""


def test_a_vgpu_that_does_not_fit_is_refused_with_the_reason(govc: Govc, attempt: Attempt) -> None:
    where = ("-host", "esx-01", "-pool", "gpu/Resources")
    for name in ("first", "second"):
        govc("vm.clone", "-vm", "u24", "-on=false", *where, name)
        govc("vm.change", "-vm", name, "-memory-pin=true", *MMIO)
        govc("gpu.vm.add", "-vm", name, "-profile", "grid_a100d-80c")
    govc("vm.power", "-on", "first")
    refused = attempt("vm.power", "-on", "second")
    assert refused.returncode != 0
    for part in ("esx-01", "grid_a100d-80c", "0000:3b:00.0", "0000:86:00.0", "full"):
        assert part in refused.stderr


def test_maintenance_mode(govc: Govc) -> None:
    govc("host.maintenance.enter", "esx-02")
    (host,) = as_json(govc, "host.info", "esx-02")["hostSystems"]
    assert host["runtime"]["inMaintenanceMode"]
    govc("host.maintenance.exit", "esx-02")


def test_folders_and_custom_fields(govc: Govc) -> None:
    govc("folder.create", "/DC0/vm/lab")
    govc("object.mv", "/DC0/vm/old-job", "/DC0/vm/lab")
    govc("fields.add", "owner")
    govc("fields.set", "owner", "me", "/DC0/vm/lab/old-job")
    assert "me" in govc("fields.info", "/DC0/vm/lab/old-job")


def test_tasks_lists_what_was_done(govc: Govc) -> None:
    govc("vm.power", "-off", "old-job")
    assert "old-job" in govc("tasks")
