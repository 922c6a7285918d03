"""Models of which several forms exist: each has its own PCI id and its own profiles."""

from __future__ import annotations

import pytest

from provision.errors import SpecError
from provision.simulator import worldfile
from tests.conftest import MakeSimulator
from tests.unit.simulator.administrator import Administrator

WORLD = """
DC0:
  clusters:
    gpu:
      hosts:
        esx-01: {{cards: {{model: A100-80, {card}}}}}
"""


@pytest.mark.parametrize(
    ("card", "device", "profile"),
    [
        ("count: 1", 0x20B5, "grid_a100d-10c"),
        ('device: "20b2", board: a100dx', 0x20B2, "grid_a100dx-10c"),
    ],
)
def test_a_card_is_of_the_form_that_the_world_names(
    in_process: MakeSimulator, card: str, device: int, profile: str
) -> None:
    admin = Administrator(in_process(WORLD.format(card=card)))
    host = admin.host("esx-01")
    assert host.hardware.pciDevice[-1].deviceId & 0xFFFF == device
    assert profile in host.config.sharedPassthruGpuTypes
    assert len({name.split("-")[0] for name in host.config.sharedPassthruGpuTypes}) == 1


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ('device: "ffff"', "A100-80 has no device 'ffff'; it has 20b5, 20b2"),
        ("board: h100", "A100-80 has no board 'h100'; it has a100d, a100dx"),
    ],
)
def test_a_form_that_the_model_does_not_have_is_refused(card: str, says: str) -> None:
    with pytest.raises(SpecError) as refused:
        worldfile.parse(WORLD.format(card=card))
    assert says in str(refused.value)


def test_a_vm_may_hold_several_named_cards(in_process: MakeSimulator) -> None:
    made = in_process(
        """
DC0:
  clusters:
    gpu:
      hosts:
        esx-01: {cards: {count: 4, model: A100-80}}
      vms:
        pair:
          {host: esx-01, power: on, gpu: {vgpu: grid_a100d-80c, count: 2},
           card: ["0000:86:00.0", "0000:d8:00.0"]}
"""
    )
    held = [card.address for card in made.host("esx-01").cards if card.holds]
    assert held == ["0000:86:00.0", "0000:d8:00.0"]
