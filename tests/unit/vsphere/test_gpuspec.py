from pathlib import Path
from typing import Any

import pytest
import yaml
from pyVmomi import vim

from provision.gpu.types import CardMode
from provision.plan.model import Action, ActionKind, CardChoice
from provision.plan.snapshot import Card
from provision.vsphere.gpuspec import CardFacts, gpu_changes
from provision.vsphere.port import ActionFailed
from tests.unit.vsphere.devices import config, described, device
from tests.unit.vsphere.site import make_lab

CASES = yaml.safe_load((Path(__file__).parents[2] / "data" / "vsphere" / "gpus.yaml").read_text())
GROUP = "Nvidia:2@grid_a100d-80c%NVLink"
FIRST, SECOND = "0000:3b:00.0", "0000:86:00.0"


def card(address: str, device_id: int) -> Card:
    return Card(address, 0x10DE, device_id, "NVIDIA A100", CardMode.PASSTHROUGH)


FACTS = CardFacts(
    {
        ("esx-01", FIRST): card(FIRST, 0x20B5),
        ("esx-01", SECOND): card(SECOND, 0x20B2),
        ("esx-02", FIRST): card(FIRST, 0x2331),  # an H100 that has no part in this
    },
    {"esx-01": "system-1"},
)


def wanted(gpu: dict[str, Any] | None) -> Action:
    machine = make_lab(one={"gpu": gpu} if gpu else {}).resolve()[0]
    return Action(
        ActionKind.CREATE, machine.name, "", spec=machine, cards=(CardChoice("esx-01", FIRST),)
    )


def changes(gpu: dict[str, Any] | None, now: Any = None) -> tuple[list[Any], Any]:
    action = wanted(gpu)
    assert action.spec is not None
    members = [device(f"group {GROUP}", -1), device(f"group {GROUP}", -1)]
    return gpu_changes(action.spec, action, now or config([]), FACTS, members)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_changes(case: dict[str, Any]) -> None:
    now = config(case.get("now", []))
    found, groups = changes(case["gpu"], now)
    assert described(found, groups, now) == case["changes"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_every_added_device_has_a_negative_key_of_its_own(case: dict[str, Any]) -> None:
    found, _ = changes(case["gpu"], config(case.get("now", [])))
    keys = [change.device.key for change in found if change.operation == "add"]
    assert len(set(keys)) == len(keys)
    assert all(key < 0 for key in keys)


def test_a_pinned_backing_names_the_card_and_its_system() -> None:
    ((change,), _) = changes({"passthrough": f"esx-01/{FIRST}"})
    backing = change.device.backing
    assert isinstance(backing, vim.vm.device.VirtualPCIPassthrough.DeviceBackingInfo)
    assert (backing.id, backing.deviceId, backing.systemId) == (FIRST, "0x20b5", "system-1")
    assert (backing.vendorId, backing.deviceName) == (0x10DE, "NVIDIA A100")


def test_the_members_of_a_group_stand_together_in_one_request() -> None:
    found, groups = changes({"group": GROUP})
    infos = [change.device.deviceGroupInfo for change in found]
    (group,) = groups.deviceGroup
    assert group.deviceGroupName == GROUP
    assert {info.groupInstanceKey for info in infos} == {group.groupInstanceKey}
    assert group.groupInstanceKey < 0
    assert [info.sequenceId for info in infos] == [0, 1]


def test_a_card_that_the_snapshot_lacks_is_an_error() -> None:
    with pytest.raises(ActionFailed, match="has no card"):
        changes({"passthrough": "esx-09/0000:3b:00.0"})
