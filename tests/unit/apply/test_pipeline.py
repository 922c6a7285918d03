from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.apply.deadlines import Deadlines
from provision.apply.pipeline import ON_FAILURE, PIPELINES, Step, steps_of
from provision.plan.model import ActionKind, Change
from provision.plan.snapshot import STAMP_LAB, STAMP_SPEC, GpuDevice, Power
from provision.spec.model import VgpuRequest
from tests.unit.apply.site import Site

CASES = yaml.safe_load((Path(__file__).parents[2] / "data/apply/steps.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_steps_that_a_vm_lacks(site: Site, case: dict[str, Any]) -> None:
    gpu = VgpuRequest(vgpu="grid_a100d-10c", count=case["wants"]) if case["wants"] else None
    vm = None
    if found := case.get("vm"):
        stamp = site.spec("gpu-1", gpu).digest if found["stamp"] == "same" else "another"
        vm = site.add_vm(
            "gpu-1",
            power=Power(found["power"]),
            gpus=tuple(GpuDevice(key, "vgpu", "grid_a100d-10c") for key in range(found["gpus"])),
            stamps={STAMP_LAB: "vroom", STAMP_SPEC: stamp},
        )
    changes = tuple(Change(path, "old", "new") for path in case.get("changes", ()))
    action = site.action(ActionKind(case["kind"]), "gpu-1", gpu=gpu, vm=vm, changes=changes)
    if "host" in case.get("changes", ()):
        action = replace(action, host_id="host-elsewhere")
    assert [step.value for step in steps_of(action)] == case["steps"]


def test_the_tables_know_every_kind_and_every_step() -> None:
    assert set(PIPELINES) == set(ActionKind)
    assert set(ON_FAILURE) == set(Step)
    assert all(Deadlines().of(step) > 0 for step in Step)
