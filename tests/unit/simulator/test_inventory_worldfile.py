"""What a world file may say, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from provision.errors import SpecError
from provision.gpu.types import AssignmentPolicy, CardMode, VgpuMode
from provision.simulator import worldfile
from provision.simulator.marked import MAX_DEPTH, Document
from tests.conftest import MakeSimulator

ROOT = Path(__file__).parents[3]
DATA = Path(__file__).parents[2] / "data" / "simulator" / "worldfile"
MISTAKES = Document((DATA / "mistakes.yaml").read_text(encoding="utf-8")).data
EXAMPLES = sorted((ROOT / "examples").glob("*.world.yaml"))

DESIGN = """
vcenter: {api: 8.0.3.0, users: {admin@vsphere.local: secret}}
latency: {default: 5 ms, CloneVM_Task: 1 s}
faults:
  - {on: CloneVM_Task, nth: 7, fault: NoDiskSpace}
  - {on: CloneVM_Task, nth: 3, lose: response}
guests: ssh            # none | ssh
DC0:
  templates: {u24: {firmware: efi, hardware: 19, memory: 4 GiB, disk: 40 GiB, tools: true}}
  clusters:
    gpu:
      hosts:
        esx-[01-04]:
          cpus: 64
          memory: 1 TiB
          cards: {count: 2, model: A100-80, mode: shared, vgpu_mode: sameSize}
          policy: consolidation
        esx-05:
          cpus: 64
          memory: 1 TiB
          cards:
            - {model: A100-80, address: "0000:3b:00.0", numa: 0, mode: passthrough}
            - {model: A100-80, address: 0000:86:00.0, numa: 1, mode: passthrough, active: false}
            - {model: H100-80, address: 0000:12:00.0, mode: shared, vgpu_mode: mig}
      vms:
        old-job:
          {host: esx-01, memory: 64 GiB, power: on, gpu: {vgpu: grid_a100d-10c}, card: 0000:3b:00.0}
  datastores: {vsan: 20 TiB}
  networks: [VM Network]
"""


def test_everything_that_a_world_file_may_say_is_understood() -> None:
    world = worldfile.parse(DESIGN)
    assert list(world.vcenter.users) == ["admin@vsphere.local"]
    cluster = world.datacenters["DC0"].clusters["gpu"]
    shared, single = cluster.hosts["esx-[01-04]"], cluster.hosts["esx-05"]
    assert shared.policy is AssignmentPolicy.CONSOLIDATION
    assert [address for address, _ in shared.card_blocks()] == ["0000:3b:00.0", "0000:86:00.0"]
    assert [card.mode for card in single.cards][:2] == [CardMode.PASSTHROUGH] * 2
    assert [card.active for card in single.cards] == [True, False, True]
    # A sexagesimal number in YAML 1.1, an address here.
    assert single.cards[2].address == "0000:12:00.0"
    assert single.cards[2].vgpu_mode is VgpuMode.MIG
    assert cluster.vms["old-job"].power == "on"


def test_a_world_can_be_a_few_lines(in_process: MakeSimulator) -> None:
    simulator = in_process(
        "DC0:\n  templates: {u24: {}}\n  clusters: {gpu: {hosts: {esx-01: {}}}}\n"
    )
    assert simulator.vms() == ["u24"]
    assert simulator.vm("u24").config.datastore.name == "datastore1"


def test_the_demonstration_world_is_right() -> None:
    world = worldfile.read(None)
    assert world.guests == "ssh"
    assert "ubuntu-24.04" in world.datacenters["DC0"].templates


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_right(example: Path, in_process: MakeSimulator) -> None:
    text = example.read_text(encoding="utf-8").replace("guests: ssh", "guests: none")
    assert in_process(text).vms()


@pytest.mark.parametrize("case", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_with_its_place(case: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as refused:
        worldfile.parse(case["text"], "my.world.yaml")
    for part in case["says"]:
        assert part in str(refused.value)
    assert "my.world.yaml" in str(refused.value)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(SpecError, match=f"nested deeper than {MAX_DEPTH} levels"):
        worldfile.parse("[" * 10_000)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.world.yaml"
    path.write_bytes(b"DC0: {}\n\xff\xfe\x00")
    with pytest.raises(SpecError, match=r"x\.world\.yaml:2:1: this is no UTF-8 text"):
        worldfile.read(path)
    path.write_bytes(b"DC0: {}\n\x00\n")
    with pytest.raises(SpecError, match=r"x\.world\.yaml:2:1: this is no text"):
        worldfile.read(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"none\.yaml: the world file can't be read"):
        worldfile.read(tmp_path / "none.yaml")


def test_a_stranger_that_could_not_have_been_started_is_refused(in_process: MakeSimulator) -> None:
    cards = {"model": "L4"}
    job = {"host": "esx-01", "power": "on", "gpu": {"vgpu": "nvidia_l4-24c"}}
    cluster = {"hosts": {"esx-01": {"cards": cards}}, "vms": {"a": job, "b": job}}
    with pytest.raises(SpecError, match="no card has room for nvidia_l4-24c"):
        in_process({"DC0": {"clusters": {"gpu": cluster}}})


def test_values_are_checked_like_text() -> None:
    with pytest.raises(SpecError, match=r"DC0\.clusters\.gpu\.hosts\.esx-01\.cpus"):
        worldfile.from_data({"DC0": {"clusters": {"gpu": {"hosts": {"esx-01": {"cpus": "x"}}}}}})
    with pytest.raises(SpecError, match="there is no network 'lan'"):
        worldfile.from_data({"DC0": {"templates": {"t": {"network": "lan"}}}})
