"""VMware's own command line, built from source, is content with the simulated vCenter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from provision.simulator.server import Simulator
from tests.conftest import MakeSimulator

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).parent / "govc"
BINARY = ROOT / ".tools" / "govc" / "govc"
MMIO = ("-e", "pciPassthru.use64bitMMIO=TRUE", "-e", "pciPassthru.64bitMMIOSizeGB=256")
WORLD = """
DC0:
  templates: {u24: {memory: 4 GiB}}
  clusters:
    gpu:
      hosts:
        esx-[01-02]: {memory: 512 GiB, cards: {count: 2, model: A100-80}}
      vms:
        old-job: {host: esx-01, memory: 8 GiB, power: on, gpu: {vgpu: grid_a100d-80c}}
  datastores: {vsan: 20 TiB}
"""

Govc = Callable[..., str]


@pytest.fixture(scope="session")
def binary() -> Path:
    assert shutil.which("go"), "the contract tests build govc: install Go and put it on the PATH"
    BINARY.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["go", "build", "-o", BINARY, "."], cwd=SOURCE, check=True)  # noqa: S607 - Go as the PATH has it
    return BINARY


@pytest.fixture
def world(simulator: MakeSimulator) -> Simulator:
    return simulator(WORLD)


@pytest.fixture
def attempt(
    binary: Path, world: Simulator, tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs govc and returns how it ended."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),  # govc keeps its sessions there
        "GOVC_URL": world.door.url,
        "GOVC_USERNAME": world.door.username,
        "GOVC_PASSWORD": Path(world.door.password_file).read_text(encoding="utf-8"),
        "GOVC_TLS_CA_CERTS": world.door.ca_file,
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [binary, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def govc(attempt: Callable[..., subprocess.CompletedProcess[str]]) -> Govc:
    """Return a function that runs govc, which must succeed, and returns what it printed."""

    def run(*arguments: str) -> str:
        done = attempt(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def as_json(govc: Govc, command: str, *arguments: str) -> Any:
    return json.loads(govc(command, "-json", *arguments))


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


def test_a_vgpu_that_does_not_fit_is_refused_with_the_reason(
    govc: Govc, attempt: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
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
