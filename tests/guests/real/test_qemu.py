"""One virtual machine that boots on VMware's hardware, as QEMU plays it, behind a simulated VM."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pytest
import yaml

from provision.simulator.server import Simulator
from tests.e2e.site import Site, settings, write_key

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(1800)]

MACHINE = "booted-cpu-1"
WORLD = """
guests: qemu
DC0:
  templates: {debian-12: {guest_id: debian12_64Guest}}
  clusters: {gpu: {hosts: {esx-01: {}}}}
  datastores: {vsan: 20 TiB}
"""


@dataclass
class Lab:
    """A lab of one machine, which has been provisioned."""

    site: Site
    simulator: Simulator

    def ssh(self, command: str) -> str:
        """Run a command in the guest with the keys that vdl learned, and no others."""
        known = self.site.folder / ".vdl/booted/known_hosts"
        words = ["ssh", "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={known}"]
        words += ["-o", "GlobalKnownHostsFile=/dev/null", "-i", str(self.site.folder / "key")]
        words += [f"vdl@{self.simulator.vm(MACHINE).guest.addresses[0]}", command]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("qemu")
    write_key(folder / "key")
    document = {
        "lab": "booted",
        "vcenter": {"datacenter": "DC0", "cluster": "gpu", "datastore": "vsan"},
        "template": "debian-12",
        "guest": {"ssh_key": "key.pub"},
        "defaults": {"cpus": 2, "memory": "2 GiB", "disk": "40 GiB"},
        "machines": {"cpu": {}},
    }
    (folder / "booted.yaml").write_text(yaml.safe_dump(document))
    with Simulator.from_text(WORLD, folder=folder / "vcenter") as simulator:
        door = asdict(simulator.serve())
        site = Site(folder, settings(door), door, patience=900)
        site.vdl("provision", "booted.yaml", "--yes").good()
        yield Lab(site, simulator)


def test_playbooks_run_and_change_nothing_the_second_time(lab: Lab) -> None:
    words = ("configure", "booted.yaml", "--tags", "base", "-o", "json")
    (first,) = lab.site.vdl(*words).good().json["machines"]
    assert (first["machine"], first["done"]) == (MACHINE, True)
    assert first["changed"] > 0
    (second,) = lab.site.vdl(*words).good().json["machines"]
    assert (second["done"], second["changed"]) == (True, 0)
    # A virtual machine has a clock of its own; a container has that of its host.
    assert lab.ssh("systemctl is-active systemd-timesyncd").strip() == "active"


def test_cloud_init_found_vmwares_datasource_by_itself(lab: Lab) -> None:
    assert "status: done" in lab.ssh("cloud-init status")
    asked = lab.ssh("sudo cloud-init query platform; sudo cloud-init query subplatform")
    assert asked.splitlines() == ["vmware", "guestinfo (guestinfo.metadata)"]
    assert lab.ssh("hostname; sudo id -u").split() == [MACHINE, "0"]


def test_the_hardware_is_vmwares(lab: Lab) -> None:
    names = lab.ssh("cd /sys/class/dmi/id; cat sys_vendor product_name")
    assert names.splitlines() == ["VMware, Inc.", "VMware7,1"]
    drivers = lab.ssh("lsmod | cut -d' ' -f1; readlink -f /sys/class/net/en*/device/driver")
    assert {"vmw_pvscsi", "vmxnet3"} <= set(drivers.split())
    assert "drivers/vmxnet3" in drivers
    assert lab.ssh("findmnt -no SOURCE /").strip() == "/dev/sda"


def test_the_guest_published_what_vdl_needs(lab: Lab) -> None:
    published = lab.simulator.vm(MACHINE).guest.published
    own = lab.ssh("cat /etc/ssh/ssh_host_*_key.pub")
    keys = published["guestinfo.vdl.hostkeys"].split(";")
    assert len(keys) > 1
    assert all(key in own for key in keys)
    assert published["guestinfo.local-ipv4"] in lab.ssh("hostname -I")
