"""Every mode in which a card can be had, provisioned over HTTPS until the card is full."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.site import Site, served

WORLD = """
guests: none
DC0:
  templates: {ubuntu-24.04: {hardware: 20}}
  clusters:
    gpu:
      hosts:
        mig-a100: {cards: {model: A100-80, vgpu_mode: mig}}
        mig-a30: {cards: {model: A30, vgpu_mode: mig}}
        mig-h100: {cards: {model: H100-80, vgpu_mode: mig}}
        mig-h200: {cards: {model: H200, vgpu_mode: mig}}
        mixed: {cards: {model: A100-80, vgpu_mode: mixedSize}}
        many: {cards: {count: 4, model: A100-80}}
        far: {cards: {count: 2, model: L40S}, networks: [other]}
  datastores: {vsan: 20 TiB, tiny: 100 GiB}
  networks: [VM Network, other]
"""
# What fills the card of a host, what finds no room beside it, and why.
FULL = {
    "mig-a100": (["grid_a100d-4-40c", "grid_a100d-2-20c", "grid_a100d-1-10c"], "grid_a100d-1-10c"),
    "mig-a30": (["nvidia_a30-2-12c", "nvidia_a30-1-6c", "nvidia_a30-1-6c"], "nvidia_a30-1-6c"),
    # Eight memory slots are taken, and one of seven compute slices is left: no slot begins there.
    "mig-h100": (["nvidia_h100-3-40c", "nvidia_h100-3-40c"], "nvidia_h100-1-10c"),
    "mig-h200": (["nvidia_h200x-1-18c"] * 7, "nvidia_h200x-2-35c"),
    "mixed": (["grid_a100d-40c", "grid_a100d-20c", "grid_a100d-10c"], "grid_a100d-20c"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served(tmp_path_factory.mktemp("modes"), WORLD) as site:
        yield site


def lab(site: Site, name: str, *, where: dict[str, str] | None = None, **machines: Any) -> Path:
    path = site.lab(name, **machines)
    tree = yaml.safe_load(path.read_text("utf-8"))
    tree["vcenter"] |= where or {}
    path.write_text(yaml.safe_dump(tree), "utf-8")
    return path


def group(host: str, profile: str) -> dict[str, Any]:
    return {"host": host, "gpu": {"vgpu": profile}}


def test_cards_are_filled_as_their_geometry_allows_and_no_further(site: Site) -> None:
    groups = {
        f"{host.replace('-', '')}n{n}": group(host, profile)
        for host, (profiles, _) in FULL.items()
        for n, profile in enumerate(profiles)
    }
    full = lab(site, "full", **groups)
    site.vdl("provision", full, "--yes").good()
    assert site.vdl("plan", full, "--check").good()
    over = {host.replace("-", ""): group(host, more) for host, (_, more) in FULL.items()}
    blocked = site.vdl("plan", lab(site, "over", **over), "-o", "json")
    assert blocked.code == 3
    found = {f["message"].splitlines()[1].partition(":")[0]: f for f in blocked.json["findings"]}
    assert found.keys() == FULL.keys()
    assert {f["code"] for f in found.values()} <= {"mig-geometry", "gpu-capacity"}
    more = FULL["mig-h100"][1]
    assert site.vdl("gpus", full, "--fits", more, "-o", "json").json["total"] == 0
    site.vdl("destroy", full, "--yes").good()
    assert site.vdl("gpus", full, "--fits", more, "-o", "json").json["hosts"]["mig-h100"] == 7


def test_several_vgpus_and_a_device_group_take_cards_of_their_own(site: Site) -> None:
    pair = {"vgpu": "grid_a100d-80c", "count": 2}
    linked = {"group": "Nvidia:2@grid_a100d-80c%NVLink"}
    here = lab(site, "several", pair={"gpu": pair}, group={"gpu": linked})
    done = site.vdl("provision", here, "--yes", "-o", "json").good().json
    assert {machine["host"] for machine in done["machines"]} == {"many"}
    cards = site.vdl("gpus", here, "-o", "json").json["cards"]
    users = [card["used_by"] for card in cards if card["host"] == "many"]
    assert sorted(user for one in users for user in one) == [
        "several-group-1 (grid_a100d-80c)", "several-group-1 (grid_a100d-80c)",
        "several-pair-1 (grid_a100d-80c)", "several-pair-1 (grid_a100d-80c)",
    ]  # fmt: skip
    site.vdl("destroy", here, "--yes").good()


def test_a_network_decides_which_hosts_come_into_question(site: Site) -> None:
    wish = {"one": {"gpu": {"vgpu": "nvidia_l40s-12c"}}}
    refused = site.vdl("plan", lab(site, "reach", **wish))
    assert refused.code == 3
    assert "far: has no way to the network VM Network" in refused.out
    assert "fix: connect far to the network VM Network" in refused.out
    there = lab(site, "reach", where={"network": "other"}, **wish)
    (action,) = site.vdl("plan", there, "-o", "json").good().json["actions"]
    assert action["host"] == "far"


def test_disks_must_fit_the_datastore(site: Site) -> None:
    refused = site.vdl("plan", lab(site, "room", where={"datastore": "tiny"}, cpu={"count": 3}))
    assert refused.code == 3
    assert "100 GiB free, 3 machines need 120 GiB" in refused.out
    assert "free 20 GiB" in refused.out
