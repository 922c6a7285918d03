"""What an inventory costs does not grow with its machines, but for their lines."""

from pathlib import Path

import yaml

from provision.guests.configure import Guests, reach_guests
from provision.spec.reader import load_lab
from provision.vsphere.vcenter import VCenter
from tests.guests.crowd import crowded_world, write_lab
from tests.unit.vsphere.site import open_site


def inventory(folder: Path, machines: int) -> tuple[Guests, dict[str, int]]:
    """Read a lab's inventory; return it, and how often each method of vCenter was called."""
    folder.mkdir()
    lab = load_lab(write_lab(folder))
    world = yaml.safe_dump(crowded_world(machines))
    with open_site(folder, world) as site, VCenter(site.settings) as vcenter:
        snapshot = vcenter.snapshot(lab)
        guests = reach_guests(lab, snapshot.vms, folder / "state", hosts=snapshot.hosts)
        return guests, dict(site.simulator.world.calls)


def test_the_inventory_of_a_large_lab_takes_no_more_round_trips(tmp_path: Path) -> None:
    few, small = inventory(tmp_path / "few", 2)
    many, large = inventory(tmp_path / "many", 150)
    assert (len(few.machines), len(many.machines)) == (2, 150)
    assert (few.left_out, many.left_out) == ({}, {})
    assert small == large
    assert many.machines["crowd-shared-150"]["vdl_gpu_profile"] == "grid_a100d-10c"
    assert many.machines["crowd-shared-150"]["vdl_gpu_cards"]
