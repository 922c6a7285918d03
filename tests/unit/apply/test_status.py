from dataclasses import replace

import pytest

from provision.apply.status import Row, State, status
from provision.plan.snapshot import STAMP_LAB, STAMP_MACHINE, GpuDevice, Power, Snapshot, Vm
from provision.spec.model import Lab
from tests.unit.apply.site import VCENTER, Site, vm_of


@pytest.fixture
def lab(site: Site) -> Lab:
    groups = {
        "cpu": {"count": 1},
        "one": {"gpu": {"vgpu": "grid_a100d-10c", "count": 2}},
        "two": {"gpu": {"passthrough": "A100"}},
        "pair": {"gpu": {"group": "Nvidia:2@grid_a100d-80c%NVLink"}},
    }
    return Lab.model_validate({**site.lab().model_dump(mode="json"), "machines": groups})


def rows(lab: Lab, *vms: Vm) -> tuple[Row, ...]:
    return status(lab, Snapshot(VCENTER, "DC0", "gpu", vms=vms))


def first(lab: Lab, **changes: object) -> Row:
    ready = {"tools_running": True, "addresses": ("198.18.0.1",)}
    return rows(lab, vm_of(lab.resolve()[0], **{**ready, **changes}))[0]


def test_what_is_not_there_shows_what_it_will_have(lab: Lab) -> None:
    assert [(row.machine, row.state, row.gpu) for row in rows(lab)] == [
        ("vroom-cpu-1", State.ABSENT, ""),
        ("vroom-one-1", State.ABSENT, "2 x grid_a100d-10c"),
        ("vroom-two-1", State.ABSENT, "A100 (passthrough)"),
        ("vroom-pair-1", State.ABSENT, "Nvidia:2@grid_a100d-80c%NVLink"),
    ]


def test_a_machine_that_runs(lab: Lab) -> None:
    row = first(lab)
    assert (row.state, row.address, row.guest) == (State.ON, "198.18.0.1", "running")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"power": Power.OFF}, State.OFF),
        ({"power": Power.SUSPENDED}, State.SUSPENDED),
        ({"tools_running": False}, State.STARTING),
        ({"addresses": ()}, State.STARTING),
        ({"stamps": {STAMP_LAB: "vroom"}}, State.DRIFTED),
    ],
)
def test_states(lab: Lab, changes: dict[str, object], state: State) -> None:
    assert first(lab, **changes).state is state


def test_a_machine_without_its_gpus_is_unfinished(lab: Lab) -> None:
    vm = vm_of(lab.resolve()[1], power=Power.OFF)
    half = replace(vm, gpus=(GpuDevice(1, "vgpu", "grid_a100d-10c"),))
    assert [rows(lab, one)[1].state for one in (vm, half)] == [State.UNFINISHED] * 2
    assert rows(lab, half)[1].gpu == "grid_a100d-10c"


def test_a_question_is_shown(lab: Lab) -> None:
    assert first(lab, question="moved or copied?").guest == "waits for an answer: moved or copied?"


def test_a_vm_that_the_lab_asks_for_no_more_is_surplus(lab: Lab) -> None:
    stamps = {STAMP_LAB: "vroom", STAMP_MACHINE: "vroom-old-1"}
    vm = vm_of(lab.resolve()[0], instance_uuid="other", stamps=stamps)
    stranger = replace(vm, instance_uuid="third", stamps={})
    last = rows(lab, vm, stranger)[4:]
    assert [(row.machine, row.state) for row in last] == [("vroom-old-1", State.SURPLUS)]
