"""What is recorded of a vCenter is a world file that shows the same cards with the same uses."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from provision.plan.fits import gpus_view
from provision.plan.snapshot import Snapshot
from provision.simulator import worldwriter
from provision.simulator.server import Simulator
from provision.spec.model import Lab
from provision.vsphere.recorder import Recording, known_api, record
from provision.vsphere.snapshot_reader import read_snapshot
from tests.unit.vsphere.site import make_lab, open_site

WORLD = """
vcenter: {api: 8.0.3.0, instance_uuid: 3f1c2b7e-0000-4000-8000-000000000001}
DC0:
  templates:
    u24: {hardware: 20, disk: 40 GiB, folder: golden/linux}
    legacy: {firmware: bios, hardware: 13, tools: false, disk: 8 GiB}
  clusters:
    gpu:
      hosts:
        esx-01: {cards: {count: 2, model: A100-80}, policy: consolidation, rebind: true}
        esx-02:
          cpus: 32
          sockets: 1
          memory: 512 GiB
          datastores: [local]
          cards:
            - {model: A100-80, address: "0000:3b:00.0", numa: 0, mode: passthrough, label: lab}
            - {model: A100-80, address: "0000:af:00.0", mode: passthrough, active: false}
            - {model: H100-80, address: "0000:d8:00.0", mode: shared, vgpu_mode: mig}
        esx-03: {maintenance: true, cards: {model: L4}}
        esx-04: {connection: disconnected, graphics: shared, cards: {model: L4}}
        esx-05: {cards: {count: 2, model: A100-80, device: "20b2", board: a100dx}}
        esx-06: {cards: {count: 2, model: A100-80, vgpu_mode: mixedSize}}
        esx-07:
          cards: {count: 2, model: A100-80, virtual_functions: 16}
          device_groups: {our pair: {profile: grid_a100d-80c}}
      vms:
        time-sliced: {host: esx-01, power: on, gpu: {vgpu: grid_a100d-10c}, card: "0000:86:00.0"}
        pinned:
          {host: esx-02, power: on, memory: 8 GiB, datastore: local,
           gpu: {passthrough: "0000:3b:00.0"}}
        sliced:
          {host: esx-02, power: on, memory: 8 GiB, datastore: local,
           gpu: {vgpu: nvidia_h100-1-10c}}
        two-cards: {host: esx-05, power: on, gpu: {vgpu: grid_a100dx-80c, count: 2}}
        big: {host: esx-06, power: on, gpu: {vgpu: grid_a100d-40c}}
        small: {host: esx-06, power: on, gpu: {vgpu: grid_a100d-8c}, card: "0000:3b:00.0"}
        paired: {host: esx-07, power: on, gpu: {group: our pair}}
        asleep: {host: esx-01, gpu: {passthrough: A100-80}, memory: 16 GiB}
        wired: {host: esx-01, network: lab pg}
        no-gpu: {host: esx-01, power: on, memory: 64 GiB, reserved: 32 GiB, folder: prod/web}
        mine:
          host: esx-01
          extra: {vdl.lab: vroom, guestinfo.userdata: c2VjcmV0LXVzZXJkYXRh}
    spare:
      drs: false
      hosts: {"[1-2]-bare": {}}
  datastores: {vsan: {capacity: 20 TiB, free: 12 TiB}, local: 2 TiB}
  networks: [VM Network, lab net]
  switches: {dvs: [lab pg, other pg], spare dvs: [third pg]}
second:
  clusters: {gpu: {hosts: {esx-01: {cards: {model: L4}}}}}
"""


PAIRED = make_lab(pair={"gpu": {"group": "our pair"}})


def _recorded(
    folder: Path, world: str = WORLD, lab: Lab | None = None, **options: Any
) -> tuple[Recording, Snapshot]:
    with open_site(folder, world) as site, site.session() as session:
        return record(session, **options), read_snapshot(session, lab or make_lab())


def _served(
    folder: Path, recording: Recording, lab: Lab | None = None
) -> tuple[Recording, Snapshot]:
    return _recorded(folder, worldwriter.dump(recording.world, "a copy"), lab)


def _rows(snapshot: Snapshot) -> list[dict[str, Any]]:
    return [asdict(row) for row in gpus_view(snapshot)]


def test_a_recording_shows_the_same_cards_with_the_same_uses(tmp_path: Path) -> None:
    recording, snapshot = _recorded(tmp_path / "original")
    assert recording.notes == ()
    _, copied = _served(tmp_path / "copy", recording)
    assert _rows(copied) == _rows(snapshot)
    assert any(row["used_by"] == ("two-cards (grid_a100dx-80c)",) for row in _rows(copied))


def test_a_recording_shows_the_same_hosts_templates_stores_and_vms(tmp_path: Path) -> None:
    recording, snapshot = _recorded(tmp_path / "original")
    _, copied = _served(tmp_path / "copy", recording)

    def comparable(one: Snapshot) -> dict[str, Any]:
        stores = {store.id: store.name for store in one.datastores}
        networks = {network.id: network.name for network in one.networks}
        hosts = {host.id: host.name for host in one.hosts}
        return {
            "vcenter": replace(one.vcenter, name=""),
            "hosts": [
                replace(
                    host,
                    id="",
                    system_id="",
                    cards=(),
                    datastores=tuple(sorted(stores[id_] for id_ in host.datastores)),
                    networks=tuple(sorted(networks[id_] for id_ in host.networks)),
                )
                for host in one.hosts
            ],
            "templates": sorted(
                (t.path, t.firmware, t.hardware, t.tools, t.disk, t.guest_id) for t in one.templates
            ),
            "stores": sorted((s.name, s.free) for s in one.datastores),
            "vms": sorted(
                (v.path, v.instance_uuid, v.power, hosts.get(v.host_id or ""), v.cpus, v.memory)
                for v in one.vms
            ),
            "reserved": sorted((v.name, v.memory_reserved) for v in one.vms),
            "labs": [v.name for v in one.vms if v.lab == "vroom"],
        }

    assert comparable(copied) == comparable(snapshot)


def test_a_recording_shows_the_same_functions_and_device_groups(tmp_path: Path) -> None:
    """The lab asks for a group, because only then a snapshot has the groups of each host."""
    recording, snapshot = _recorded(tmp_path / "original", lab=PAIRED)
    _, copied = _served(tmp_path / "copy", recording, lab=PAIRED)
    host = recording.world["DC0"]["clusters"]["gpu"]["hosts"]["esx-07"]
    assert [card["virtual_functions"] for card in host["cards"]] == [16, 16]
    assert host["device_groups"] == {"our pair": {"profile": "grid_a100d-80c", "members": 2}}
    groups = {host.name: host.device_groups for host in snapshot.hosts}
    assert {host.name: host.device_groups for host in copied.hosts} == groups
    assert "our pair" in {group.name for group in groups["esx-07"]}


def test_a_recording_of_a_recording_is_the_same(tmp_path: Path) -> None:
    first, _ = _recorded(tmp_path / "original")
    second, _ = _served(tmp_path / "copy", first)
    assert second.world == first.world


def test_a_recording_holds_no_secret(tmp_path: Path) -> None:
    recording, _ = _recorded(tmp_path / "original")
    text = worldwriter.dump(recording.world, "")
    assert "c2VjcmV0" not in text
    assert "simulated" not in text
    assert "users" not in text


def test_an_anonymous_recording_holds_no_name(tmp_path: Path) -> None:
    named, snapshot = _recorded(tmp_path / "original")
    recording, _ = _recorded(tmp_path / "again", anonymous=True)
    text = worldwriter.dump(recording.world, "")
    names = {
        *(name for name in named.world if name != "vcenter"),
        *(host.name for host in snapshot.hosts),
        *(vm.name for vm in snapshot.vms),
        *(vm.instance_uuid for vm in snapshot.vms),
        *(template.name for template in snapshot.templates),
        *(store.name for store in snapshot.datastores),
        snapshot.vcenter.instance_uuid,
        "golden",
        "vroom",
        "lab net",
        "spare",
        "our pair",
    }
    assert [name for name in names if name in text] == []


def test_an_anonymous_recording_shows_the_same_cards(tmp_path: Path) -> None:
    _, snapshot = _recorded(tmp_path / "original")
    recording, _ = _recorded(tmp_path / "again", anonymous=True)
    with Simulator.from_text(worldwriter.dump(recording.world, "")) as copy:
        held = [
            (card.model.key, card.address, sorted(str(hold.profile) for hold in card.holds))
            for host in copy.inventory.hosts.values()
            for card in host.cards
        ]
    cards = [card for host in snapshot.hosts for card in host.cards]
    uses = [sorted(str(use.profile) for use in card.uses) for card in cards]
    assert [use for _, _, use in held[: len(cards)]] == uses
    assert [address for _, address, _ in held[: len(cards)]] == [c.address for c in cards]


@pytest.mark.parametrize(
    ("version", "known"),
    [("8.0.3.0", "8.0.3.0"), ("8.0.2.5", "8.0.2.0"), ("99.0", "9.1.1.0"), ("6.9.9", "6.9.1")],
)
def test_the_api_version_is_one_that_the_simulator_knows(version: str, known: str) -> None:
    assert known_api(version) == known
