"""`vdl up` with guests that boot: drivers by GPU mode, gates, and results that are valid or not.

The packages stand in for NVIDIA's (tests/roles/debs.py), and so do the programs that answer for
the GPUs; apt, dkms, systemd, cloud-init, Ansible, TensorFlow and the payload are real.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.simulator.guests.container import Container
from provision.simulator.guests.nspawn import NspawnGuests
from provision.simulator.server import Simulator
from tests.e2e.site import Site, settings, write_key
from tests.gate.states import Case, pci_config
from tests.roles.debs import datacenter_debs, deb, index, smi_files, vgpu_deb

pytestmark = [pytest.mark.nspawn, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[3]
CPU, SHARED, DIRECT = "real-cpu-1", "real-shared-1", "real-direct-1"
WORLD = """
DC0:
  templates: {debian-12: {guest_id: debian12_64Guest}}
  clusters:
    gpu:
      hosts:
        esx-01: {memory: 512 GiB, cards: {model: A100-80}}
        esx-02: {memory: 512 GiB, cards: {model: A100-80, mode: passthrough}}
  datastores: {vsan: 20 TiB}
"""
GRID = "550.144.03"
DATA_CENTRE = "535.183.01"
STAGE = "/etc/vdl/plays-gpus"  # whose presence tells the gate that GPUs are played
DMESG = f"#!/bin/sh\ncat {STAGE}/log-$(hostname)\n"
PYTHON = "/opt/python/bin/python"


@dataclass
class Lab:
    """A lab on a simulated vCenter whose guests boot."""

    site: Site
    simulator: Simulator
    backend: NspawnGuests
    stage: Path

    @property
    def options(self) -> tuple[str, ...]:
        return ("real.yaml", "--extra-vars", "roles.yaml", "--payload-python", PYTHON)

    def write(self, *, cpus: int = 1) -> None:
        """Write the lab file."""
        vgpu = {"package": f"files/nvidia-linux-grid-550_{GRID}_amd64.deb", "token": "files/tok"}
        lab = {
            "lab": "real",
            "vcenter": {"datacenter": "DC0", "cluster": "gpu", "datastore": "vsan"},
            "template": "debian-12",
            "guest": {"ssh_key": "key.pub"},
            "defaults": {"cpus": 2, "memory": "8 GiB", "disk": "40 GiB"},
            "machines": {
                "cpu": {"count": cpus},
                "shared": {"gpu": {"vgpu": "grid_a100d-10c"}},
                "direct": {"gpu": {"passthrough": "A100-80"}},
            },
            "drivers": {"datacenter": "535", "vgpu": vgpu},
            "benchmark": [{"model": "mnist", "time_limit": 5}],
        }
        (self.site.folder / "real.yaml").write_text(yaml.safe_dump(lab))

    def machine(self, name: str) -> Container:
        return self.backend.machine(self.simulator.vm(name).moid)

    def shell(self, name: str, script: str) -> str:
        done = self.machine(name).run(["sh", "-ec", script])
        assert done.returncode == 0, done.stderr
        return done.stdout

    def log(self, name: str, *lines: str) -> None:
        """Let the guest's kernel have said this."""
        text = "[    0.0] Linux version 6.1.0\n" + "".join(f"{line}\n" for line in lines)
        (self.stage / f"log-{name}").write_text(text)

    def configure(self, *words: str) -> tuple[int, dict[str, Any]]:
        done = self.site.vdl("configure", *self.options, *words, "-o", "json")
        return done.code, {
            machine["machine"]: machine for machine in json.loads(done.out)["machines"]
        }

    def documents(self, folder: str) -> dict[str, Any]:
        """The results of a run by machine."""
        place = self.site.folder / folder
        return {path.parent.name: json.loads(path.read_text())
                for path in place.glob("*/mnist-*.json")}  # fmt: skip


def python_with_the_controllers_packages(folder: Path) -> dict[str, Path]:
    """Return what a guest must be shown so that its own Python has TensorFlow: our packages.

    Installing them in each guest would take a minute and 1.6 GB each.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / f"lib/python{version}/site-packages"
    packages.mkdir(parents=True)
    (packages / "controller.pth").write_text("/opt/controller\n")
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to(f"/usr/bin/python{version}")
    return {"/opt/python": folder, "/opt/controller": Path(sysconfig.get_path("purelib"))}


def stand_ins(folder: Path) -> Path:
    """Make the repository that guests are shown, and the administrator's files beside it."""
    repository, files = folder / "repository", folder / "files"
    datacenter_debs(repository, folder / "build", DATA_CENTRE)
    versions = {"driver_version": DATA_CENTRE}
    cases = (
        Case(name="whole", smi="a100-passthrough", change=versions, expect={}),
        Case(name="no-device", smi=None, text="No devices were found\n", exit=6, expect={}),
    )
    smi_files(folder / "smi", *cases)
    deb(repository, folder / "smi", "nvidia-smi", f"{DATA_CENTRE}-1")
    index(repository)
    vgpu_deb(files, folder / "grid", GRID)
    (files / "tok").write_text("good")
    (files / "tok").chmod(0o600)
    return repository


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("up")
    stage = folder / "stage"
    stage.mkdir()
    (stage / "root").symlink_to("/")
    (folder / "dmesg").write_text(DMESG)
    (folder / "dmesg").chmod(0o755)
    shown = {
        "/srv/nvidia": stand_ins(folder),
        STAGE: stage,
        "/usr/local/bin/dmesg": folder / "dmesg",
        **python_with_the_controllers_packages(folder / "python"),
    }
    roles = {
        "nvidia_driver_apt_source": "deb [trusted=yes] file:/srv/nvidia ./",
        "vgpu_licence_timeout": 10,
    }
    (folder / "roles.yaml").write_text(yaml.safe_dump(roles))
    write_key(folder / "key")
    backend = NspawnGuests(folder / "guests", shown)
    with Simulator.from_text(WORLD, folder=folder / "vcenter", guests=backend) as simulator:
        door = asdict(simulator.serve())
        site = Site(folder, settings(door), door, patience=900)
        lab = Lab(site, simulator, backend, stage)
        lab.write()
        for name in (CPU, "real-cpu-2", SHARED, DIRECT):
            lab.log(name)
        yield lab


def test_vdl_up_takes_three_kinds_of_machines_as_far_as_their_gpus_go(lab: Lab) -> None:
    done = lab.site.vdl("up", *lab.options, "--yes")
    assert done.code == 4, done.err
    (run,) = (lab.site.folder / "results" / "real").iterdir()
    gates = {path.parent.name: json.loads(path.read_text()) for path in run.glob("*/gate.json")}
    assert {name: gate["passed"] for name, gate in gates.items()} == dict.fromkeys(
        (CPU, SHARED, DIRECT), True
    )
    # The stand-ins answer for GPUs, but nothing computes on them: the payload must notice.
    documents = lab.documents(str(run))
    assert {name: [reason.partition(":")[0] for reason in document["reasons"]]
            for name, document in documents.items()} == {
        CPU: [], SHARED: ["gpu-unseen"], DIRECT: ["gpu-unseen"],
    }  # fmt: skip
    assert {name for name, document in documents.items() if document["valid"]} == {CPU}
    rows = [line for line in done.out.splitlines() if f"│ {CPU}" in line]
    assert rows
    assert all("simulated" in row for row in rows)
    # The driver follows from the GPU mode.
    version = "cat /sys/module/nvidia/version 2>/dev/null || echo none"
    assert {name: lab.shell(name, version).strip() for name in (CPU, SHARED, DIRECT)} == {
        CPU: "none", SHARED: GRID, DIRECT: DATA_CENTRE,
    }  # fmt: skip
    assert "FeatureType=1" in lab.shell(SHARED, "cat /etc/nvidia/gridd.conf")
    assert lab.shell(DIRECT, "ls /etc/nvidia 2>/dev/null || true") == ""


def test_a_second_configure_changes_nothing(lab: Lab) -> None:
    code, machines = lab.configure()
    assert code == 0, machines
    assert {name: m["changed"] for name, m in machines.items()} == dict.fromkeys(machines, 0)
    assert {name: m["gate"]["passed"] for name, m in machines.items()} == dict.fromkeys(
        (CPU, SHARED, DIRECT), True
    )


def test_ansible_playbook_alone_does_the_same(lab: Lab) -> None:
    lab.write(cpus=2)
    lab.site.vdl("provision", "real.yaml", "--yes").good()
    # The plugin waits for nobody, and leaves out who has not published a key yet.
    end = time.monotonic() + 120
    while "real-cpu-2" not in lab.site.vdl("inventory", "real.yaml", "-o", "json").good().out:
        assert time.monotonic() < end, "real-cpu-2 publishes no key"
        time.sleep(1)
    source = lab.site.folder / "lab.vdl.yml"
    source.write_text("plugin: vdl.lab.machines\nlab: real.yaml\n")
    words = [Path(sys.executable).with_name("ansible-playbook"), "-i", source]
    words += ["-e", "@roles.yaml", "-e", f"payload_python={PYTHON}"]
    words += [ROOT / "playbooks/site.yml"]
    environment = lab.site.env({"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")})
    done = subprocess.run(
        words, cwd=lab.site.folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    recap = {
        line.split()[0]: "changed=0 " in line for line in done.stdout.splitlines() if "ok=" in line
    }
    assert recap == {CPU: True, "real-cpu-2": False, SHARED: True, DIRECT: True}
    code, machines = lab.configure()
    assert code == 0
    assert {m["changed"] for m in machines.values()} == {0}
    assert len(machines) == 4


def test_fault_35_without_a_licence_only_that_machine_gets_no_valid_result(lab: Lab) -> None:
    for name in (SHARED, DIRECT):  # say that the CPU is to be measured, there being no real GPU
        lab.shell(name, "echo CUDA_VISIBLE_DEVICES=-1 >> /etc/environment")
    lab.shell(SHARED, "echo a100-vgpu-unlicensed > /usr/share/standin/state")
    try:
        done = lab.site.vdl("bench", *lab.options)
        assert done.code == 4
        run = lab.site.folder / done.out.strip().splitlines()[-1]
        # The gate is before the number: an unlicensed vGPU is not even measured.
        gate = json.loads((run / SHARED / "gate.json").read_text())
        assert (gate["passed"], gate["reasons"]) == (
            False, ["licence: Unlicensed (Restricted) (expected: Licensed)"],
        )  # fmt: skip
        valid = {name: document["valid"] for name, document in lab.documents(str(run)).items()}
        assert valid == {CPU: True, "real-cpu-2": True, DIRECT: True}
        assert "Unlicensed" in lab.site.vdl("report", run).good().out
    finally:
        lab.shell(SHARED, "echo a100-vgpu > /usr/share/standin/state")


def failed(lab: Lab, name: str) -> str:
    """Insist that the gates of one machine fail; return the message."""
    code, machines = lab.configure("--tags", "payload", "--tags", "verify", "--limit", name)
    assert code != 0
    assert machines[name]["gate"]["passed"] is False
    return str(machines[name]["message"])


def test_fault_36_the_hosts_manager_is_of_another_branch(lab: Lab) -> None:
    config = lab.backend.hardware(lab.simulator.vm(SHARED).moid) / "pci/0000:02:01.0/config"
    config.write_bytes(pci_config("535.183.04"))
    try:
        said = failed(lab, SHARED)
        assert "535.183.04" in said
        assert "550" in said
    finally:
        config.unlink()


def test_fault_36_an_xid_in_the_log(lab: Lab) -> None:
    line = "[   77.1] NVRM: Xid (PCI:0000:03:00): 79, pid=77, GPU has fallen off the bus."
    lab.log(DIRECT, line)
    try:
        assert "fallen off the bus" in failed(lab, DIRECT)
    finally:
        lab.log(DIRECT)


def test_fault_36_a_gpu_is_missing(lab: Lab) -> None:
    lab.shell(DIRECT, "echo no-device > /usr/share/standin/state")
    try:
        assert "No devices were found" in failed(lab, DIRECT)
    finally:
        lab.shell(DIRECT, "echo whole > /usr/share/standin/state")
