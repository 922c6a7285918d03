"""The inventory plugin, run by Ansible's own commands against a simulated vCenter with guests."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from provision.apply.runner import apply
from provision.guests.configure import Settings, configure, reach_guests
from provision.guests.events import Event, EventKind, parse_event
from provision.guests.resources import PACKAGE, data_folder
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
plugin: vdl.lab.machines
lab: lab.yaml
keyed_groups: [{key: vdl_host, prefix: esx}]
"""

CALLBACK = PACKAGE / "guests" / "callback"
NOWHERE = Door("", "127.0.0.1:1", "", "me", "", "")


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


def run(
    door: Door, folder: Path, command: str, *words: str, events: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's commands as a person would in a checkout.

    `events` is a descriptor that vdl's callback plugin writes to.
    """
    told = {
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACK),
        "ANSIBLE_CALLBACKS_ENABLED": "vdl_events",
        "VDL_EVENTS_FD": str(events),
    }
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME")},
        "LC_ALL": "C.UTF-8",
        "VDL_SERVER": door.server,
        "VDL_USERNAME": door.username,
        "VDL_PASSWORD_FILE": door.password_file,
        "VDL_CA_FILE": door.ca_file,
        **(told if events is not None else {}),
    }
    program = str(Path(sys.executable).with_name(command))
    return subprocess.run(
        [program, "--inventory", str(folder / "lab.vdl.yml"), *words],
        cwd=data_folder("playbooks").parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        pass_fds=[events] if events is not None else [],
    )


Step = tuple[str, str | None, str | None, str | None]


def steps(events: Iterable[Event]) -> dict[str, list[Step]]:
    """Return what happened on each machine, in order."""
    found: dict[str, list[Step]] = {}
    for event in events:
        if event.host and event.kind is not EventKind.START:
            step = (event.kind.value, event.role, event.task, event.item)
            found.setdefault(event.host, []).append(step)
    return found


def play(door: Door, folder: Path) -> list[Event]:
    """Run ansible-playbook without vdl, and return what happened."""
    with (folder / "events").open("w+") as events:
        done = run(door, folder, "ansible-playbook", "playbooks/site.yml", events=events.fileno())
        assert done.returncode == 0, done.stdout + done.stderr
        events.seek(0)
        return [parse_event(line) for line in events]


def payloads(folder: Path) -> list[Path]:
    return sorted((folder / "vcenter").rglob("home/.local/share/vdl/payload"))


@pytest.mark.slow
def test_ansible_alone_does_the_same_as_vdl(tmp_path: Path) -> None:
    ours: list[Event] = []
    with provisioned(tmp_path) as door:
        listed = run(door, tmp_path, "ansible-inventory", "--list")
        assert (listed.returncode, listed.stderr) == (0, "")
        lab = load_lab(tmp_path / "lab.yaml")
        with VCenter(settings_of(door)) as vcenter:
            world = vcenter.snapshot(lab)
        state = tmp_path / ".vdl" / "vroom"
        guests = reach_guests(lab, world.vms, state, hosts=world.hosts, simulated=True)
        configured = configure(guests, Settings(state), on_event=ours.append)
        made = [sorted(path.relative_to(home) for path in home.rglob("*.py"))
                for home in payloads(tmp_path)]  # fmt: skip
        for home in payloads(tmp_path):
            shutil.rmtree(home)
        theirs = play(door, tmp_path)

        assert steps(theirs) == steps(ours)
        assert {step[0] for step in steps(theirs)["vroom-cpu-1"]} >= {"ok", "changed", "skipped"}
        assert made == [sorted(path.relative_to(home) for path in home.rglob("*.py"))
                        for home in payloads(tmp_path)]  # fmt: skip
        assert theirs[-1].custom.keys() == {"vroom-cpu-1", "vroom-shared-1"}

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


def test_ansible_s_own_cache_spares_the_way_to_vcenter(tmp_path: Path) -> None:
    cache = {
        "cache": True,
        "cache_plugin": "ansible.builtin.jsonfile",
        "cache_connection": str(tmp_path / "cache"),
    }
    with provisioned(tmp_path) as door:
        (tmp_path / "lab.vdl.yml").write_text(json.dumps({**yaml.safe_load(SOURCE), **cache}))
        first = run(door, tmp_path, "ansible-inventory", "--list")
    again = run(NOWHERE, tmp_path, "ansible-inventory", "--list")
    asked = run(NOWHERE, tmp_path, "ansible-inventory", "--list", "--flush-cache")
    assert "vroom-shared-1" in first.stdout
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert asked.returncode != 0
    assert "Failed to parse inventory" in asked.stderr


def test_a_source_that_can_t_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "lab.vdl.yml").write_text("{plugin: vdl.lab.machines, lab: missing.yaml}")
    failed = run(NOWHERE, tmp_path, "ansible-inventory", "--list")
    assert failed.returncode != 0
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
