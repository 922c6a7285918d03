"""A script as any vSphere administrator writes it, with pyVmomi alone, against the simulator.

Nothing of vdl's is imported: the simulator runs as a process of its own.
"""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVim.connect import Disconnect, SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim

VDL = Path(sys.executable).with_name("vdl")
WORLD = """
DC0:
  templates: {u24: {memory: 4 GiB}}
  clusters:
    gpu:
      hosts:
        esx-01: {memory: 512 GiB, cards: {model: A100-80}}
        esx-02: {memory: 512 GiB}
  datastores: {vsan: 20 TiB}
"""
NVIDIA = 0x10DE
Passthrough = vim.vm.device.VirtualPCIPassthrough


@pytest.fixture
def door(tmp_path: Path) -> Iterator[dict[str, str]]:
    world = tmp_path / "one-card.world.yaml"
    world.write_text(WORLD, encoding="utf-8")
    command = [VDL, "simulator", world, "-o", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0


@pytest.fixture
def content(door: dict[str, str]) -> Iterator[Any]:
    host, _, port = door["server"].partition(":")
    service = SmartConnect(
        host=host,
        port=int(port),
        user=door["username"],
        pwd=Path(door["password_file"]).read_text(encoding="utf-8"),
        sslContext=ssl.create_default_context(cafile=door["ca_file"]),
    )
    yield service.RetrieveContent()
    Disconnect(service)


def find_all(content: Any, kind: type[Any]) -> dict[str, Any]:
    view = content.viewManager.CreateContainerView(
        container=content.rootFolder, type=[kind], recursive=True
    )
    found = {entity.name: entity for entity in view.view}
    view.Destroy()
    return found


def clone_with_vgpu(content: Any, name: str, profile: str) -> Any:
    datacenter = content.rootFolder.childEntity[0]
    pool = datacenter.hostFolder.childEntity[0].resourcePool
    vgpu = Passthrough(key=-1, backing=Passthrough.VmiopBackingInfo(vgpu=profile))
    config = vim.vm.ConfigSpec(
        memoryReservationLockedToMax=True,
        deviceChange=[vim.vm.device.VirtualDeviceSpec(operation="add", device=vgpu)],
        extraConfig=[
            vim.option.OptionValue(key="pciPassthru.use64bitMMIO", value="TRUE"),
            vim.option.OptionValue(key="pciPassthru.64bitMMIOSizeGB", value="256"),
        ],
    )
    location = vim.vm.RelocateSpec(pool=pool, host=find_all(content, vim.HostSystem)["esx-01"])
    spec = vim.vm.CloneSpec(location=location, config=config, powerOn=False)
    template = find_all(content, vim.VirtualMachine)["u24"]
    task = template.CloneVM_Task(folder=datacenter.vmFolder, name=name, spec=spec)
    WaitForTask(task)
    return task.info.result


def test_hosts_with_gpus_are_listed(content: Any) -> None:
    cards = {
        name: [d.deviceName for d in host.hardware.pciDevice if d.vendorId & 0xFFFF == NVIDIA]
        for name, host in find_all(content, vim.HostSystem).items()
    }
    assert cards == {"esx-01": ["NVIDIA A100 80GB"], "esx-02": []}


def test_a_clone_with_a_vgpu_runs_and_one_too_many_is_refused(content: Any) -> None:
    first = clone_with_vgpu(content, "first", "grid_a100d-40c")
    second = clone_with_vgpu(content, "second", "grid_a100d-80c")
    WaitForTask(first.PowerOnVM_Task())
    assert first.runtime.powerState == "poweredOn"
    with pytest.raises(vim.fault.InsufficientGraphicsResourcesFault) as refused:
        WaitForTask(second.PowerOnVM_Task())
    assert "esx-01" in refused.value.msg
    assert "0000:3b:00.0" in refused.value.msg
    assert second.runtime.powerState == "poweredOff"
    (card,) = find_all(content, vim.HostSystem)["esx-01"].config.graphicsInfo
    assert list(card.vm) == [first]
