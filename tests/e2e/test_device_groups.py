"""Device groups under any name, and cards with virtual functions, as SR-IOV makes them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import Site, served
from tests.e2e.vcenter import administrator, vms

FUNCTIONS = 16
WORLD = f"""
guests: none
DC0:
  templates: {{ubuntu-24.04: {{hardware: 20}}}}
  clusters:
    gpu:
      hosts:
        esx-01:
          cards: {{count: 2, model: A100-80, virtual_functions: {FUNCTIONS}}}
          device_groups: {{our-pair: {{profile: grid_a100d-80c}}}}
  datastores: {{vsan: 20 TiB}}
"""
PAIR = {"gpu": {"group": "our-pair"}}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with served(tmp_path, WORLD) as site:
        yield site


def test_a_group_takes_the_cards_that_its_devices_say(site: Site) -> None:
    lab = site.lab("group", pair=PAIR)
    (action,) = site.vdl("plan", lab, "-o", "json").good().json["actions"]
    assert [card["address"] for card in action["cards"]] == ["0000:3b:00.0", "0000:86:00.0"]
    assert action["settings"]["pciPassthru.64bitMMIOSizeGB"] == "512"
    site.vdl("provision", lab, "--yes").good()
    (row,) = site.vdl("status", lab, "-o", "json").json["machines"]
    assert row["gpu"] == "our-pair"
    used = [card["used_by"] for card in site.vdl("gpus", lab, "-o", "json").json["cards"]]
    assert used == [["group-pair-1 (grid_a100d-80c)"]] * 2
    assert site.vdl("plan", lab, "--check").good()
    full = site.vdl("plan", site.lab("more", pair=PAIR, one={"gpu": {"vgpu": "grid_a100d-4c"}}))
    assert full.code == 3
    for words in ("more-pair-1", "2 x A100-80: full of grid_a100d-80c", "more-one-1"):
        assert words in full.out


def test_virtual_functions_are_shown_by_the_host_and_counted_by_nobody(site: Site) -> None:
    lab = site.lab("group", many={"count": 3, "gpu": {"vgpu": "grid_a100d-8c"}})
    with administrator(site) as content:
        host = next(iter(vms(content).values())).runtime.host
        devices = [d for d in host.hardware.pciDevice if d.deviceClassName == "3D controller"]
        infos = {info.id: info for info in host.config.pciPassthruInfo}
    assert len(devices) == 2 * (1 + FUNCTIONS)
    assert {d.deviceId for d in devices} == {0x20B5}
    assert infos["0000:3b:00.0"].numVirtualFunction == FUNCTIONS
    cards = site.vdl("gpus", lab, "-o", "json").json["cards"]
    assert [card["address"] for card in cards] == ["0000:3b:00.0", "0000:86:00.0"]
    fits = site.vdl("gpus", lab, "--fits", "grid_a100d-8c", "-o", "json").json
    assert fits["total"] == 20
    site.vdl("provision", lab, "--yes").good()
    shared = site.vdl("host", "prepare", "esx-01", lab, "--shared", "--check", "-o", "json").json
    assert [card["address"] for card in shared["state"]["cards"]] == [
        "0000:3b:00.0", "0000:86:00.0",
    ]  # fmt: skip
