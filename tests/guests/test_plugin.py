"""The inventory plugin, run by Ansible's own commands against a simulated vCenter with guests."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from provision.apply.runner import apply
from provision.guests.configure import Settings, configure, reach_guests
from provision.guests.resources import data_folder
from provision.plan.planner import plan
from provision.simulator.server import Door, Simulator
from provision.spec.reader import load_lab
from provision.vsphere.settings import ConnectionSettings
from provision.vsphere.vcenter import VCenter
from tests.guests.sshd import make_key

WORLD = """
guests: ssh
DC0:
  templates: {ubuntu-24.04: {firmware: efi, hardware: 19, memory: 4 GiB, disk: 40 GiB}}
  clusters: {gpu: {hosts: {esx-01: {memory: 512 GiB, cards: {count: 2, model: A100-80}}}}}
  datastores: {vsan: 20 TiB}
"""
LAB = """
lab: vroom
vcenter: {datacenter: DC0, cluster: gpu, datastore: vsan}
template: ubuntu-24.04
guest: {user: ada, ssh_key: user_key.pub}
defaults: {cpus: 2, memory: 8 GiB, disk: 40 GiB}
machines:
  cpu: {count: 1}
  shared: {count: 1, gpu: {vgpu: grid_a100d-10c}}
"""
SOURCE = """
plugin: vdl
lab: lab.yaml
keyed_groups: [{key: vdl_host, prefix: esx}]
"""


@contextmanager
def provisioned(folder: Path) -> Iterator[Door]:
    """Serve a vCenter in which the lab of `folder` has been provisioned."""
    make_key(folder / "user_key")
    (folder / "lab.yaml").write_text(LAB)
    (folder / "lab.vdl.yml").write_text(SOURCE)
    lab = load_lab(folder / "lab.yaml")
    with Simulator.from_text(WORLD, folder=folder / "vcenter") as simulator:
        door = simulator.serve()
        with VCenter(settings_of(door)) as vcenter:
            result = apply(plan(lab, vcenter.snapshot(lab)), vcenter, lab=lab, replan=plan)
        assert result.unsuccessful == ()
        yield door


def settings_of(door: Door) -> ConnectionSettings:
    password = Path(door.password_file).read_text().strip()
    ca_file = Path(door.ca_file)
    return ConnectionSettings(door.server, door.username, SecretStr(password), ca_file=ca_file)


def run(door: Door, folder: Path, command: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's commands as a person would in a checkout."""
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME")},
        "LC_ALL": "C.UTF-8",
        "VDL_SERVER": door.server,
        "VDL_USERNAME": door.username,
        "VDL_PASSWORD_FILE": door.password_file,
        "VDL_CA_FILE": door.ca_file,
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_PRIVATE_KEY_FILE": str(folder / "user_key"),
    }
    program = str(Path(sys.executable).with_name(command))
    return subprocess.run(
        [program, "--inventory", str(folder / "lab.vdl.yml"), *words],
        cwd=data_folder("playbooks").parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_ansible_finds_the_lab_and_gets_in(tmp_path: Path) -> None:
    with provisioned(tmp_path) as door:
        listed = run(door, tmp_path, "ansible-inventory", "--list")
        assert (listed.returncode, listed.stderr) == (0, "")
        played = run(door, tmp_path, "ansible-playbook", "--tags", "base", "playbooks/site.yml")
        assert played.returncode == 0, played.stdout

        lab = load_lab(tmp_path / "lab.yaml")
        with VCenter(settings_of(door)) as vcenter:
            world = vcenter.snapshot(lab)
        state = tmp_path / ".vdl" / "vroom"
        guests = reach_guests(lab, world.vms, state, hosts=world.hosts, simulated=True)
        configured = configure(guests, Settings(state, tags=("base",)))

    # So Ansible prints texts that it will never take for templates.
    inventory = json.loads(listed.stdout, object_hook=lambda o: o.get("__ansible_unsafe", o))
    shared = inventory["_meta"]["hostvars"]["vroom-shared-1"]
    assert (shared["ansible_user"], shared["vdl_gpu_mode"]) == ("ada", "vgpu")
    assert (shared["vdl_gpu_profile"], shared["vdl_framebuffer_mib"]) == ("grid_a100d-10c", 10240)
    assert (shared["vdl_host"], shared["vdl_simulated"]) == ("esx-01", True)
    assert inventory["gpu_none"]["hosts"] == ["vroom-cpu-1"]
    assert inventory["esx_esx_01"]["hosts"] == ["vroom-cpu-1", "vroom-shared-1"]
    assert world.vcenter.simulated
    assert guests.inventory["vdl"]["hosts"] == inventory["vdl"]["hosts"]
    assert configured.failed == ()


def test_a_source_that_can_t_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "lab.vdl.yml").write_text("{plugin: vdl, lab: missing.yaml}")
    nowhere = Door("", "127.0.0.1:1", "", "", "", "")
    failed = run(nowhere, tmp_path, "ansible-inventory", "--list")
    assert "missing.yaml: can't read the lab file" in failed.stderr


def test_other_files_are_left_to_other_plugins(tmp_path: Path) -> None:
    shutil.copy(data_folder("inventory") / "baremetal.example.yml", tmp_path / "lab.vdl.yml")
    (tmp_path / "lab.vdl.yml").rename(tmp_path / "metal.yml")
    words = [str(Path(sys.executable).with_name("ansible-inventory")), "--list"]
    done = subprocess.run(
        [*words, "--inventory", str(tmp_path / "metal.yml")],
        cwd=data_folder("playbooks").parent,
        capture_output=True,
        text=True,
        check=True,
    )
    metal = json.loads(done.stdout)["_meta"]["hostvars"]["metal-1"]
    assert (metal["vdl_gpu_mode"], metal["vdl_gpu_count"]) == ("bare-metal", 2)
