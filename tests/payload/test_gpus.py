"""`nvidia-smi`, played by a script in PATH that answers with recorded documents."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from payload import validity
from payload.machine import gpus, smilog
from payload.measurement import Measurement
from tests.gate.packed import FILES
from tests.gate.states import install, load

Play = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Describe the GPUs of a case of tests/data/gate."""

    def described(name: str) -> list[dict[str, Any]]:
        install(tmp_path, load(name))
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
        deadline = 1 if name == "smi-hangs" else smilog.DEADLINE
        return gpus.describe(deadline, root=tmp_path / "machine")

    return described


def test_the_gate_reads_nvidia_smi_in_the_same_way() -> None:
    gate = FILES / "gate" / "smilog.py"
    assert Path(smilog.__file__).read_bytes() == gate.read_bytes()


def test_without_nvidia_smi_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert gpus.describe() == []


def test_a_card_is_described(play: Play) -> None:
    assert play("a100-passthrough") == [
        {
            "uuid": "GPU-20b50000-0000-4000-8000-000000000000",
            "name": "NVIDIA A100 80GB PCIe",
            "driver": "550.144.03",
            "memory_mib": 81920.0,
            "clock_sm_mhz": 210.0,
            "clock_memory_mhz": 1512.0,
            "clock_sm_max_mhz": 1410.0,
            "clock_memory_max_mhz": 1512.0,
            "ecc": "Enabled",
            "mig": "Disabled",
            "power_limit_w": 300.0,
            "persistence": "Enabled",
            "pcie": {
                "address": "00000000:03:00.0",
                "generation": 4.0,
                "generation_max": 4.0,
                "width": 16.0,
                "width_max": 16.0,
            },
            "numa_node": None,
            "virtualization": "Pass-Through",
            "vgpu_profile": None,
            "licence": None,
        }
    ]


def test_what_a_vgpu_does_not_know_is_null(play: Play) -> None:
    (gpu,) = play("a100-vgpu")
    assert gpu["virtualization"] == "VGPU"
    assert gpu["licence"] == "Licensed (Expiry: 2099-3-3 9:14:0 GMT)"
    assert {key for key, value in gpu.items() if value is None} == {
        "clock_sm_max_mhz",
        "clock_memory_max_mhz",
        "power_limit_w",
        "numa_node",
    }
    assert gpu["vgpu_profile"] == "A100D-10C"


def test_an_older_driver_tells_less(play: Play) -> None:
    (gpu,) = play("t4-old-driver")
    assert (gpu["name"], gpu["driver"], gpu["power_limit_w"]) == ("Tesla T4", "470.256.02", 70.0)
    assert gpu["mig"] is None


def test_of_several_gpus_each_is_described(play: Play) -> None:
    assert len({gpu["uuid"] for gpu in play("h100-bare-metal")}) == 8


@pytest.mark.parametrize(
    "name",
    ["smi-driver-not-loaded", "smi-garbage", "smi-truncated", "smi-entity-bomb", "smi-hangs"],
)
def test_a_driver_that_gives_no_answer_has_no_gpus(play: Play, name: str) -> None:
    assert play(name) == []


UNSEEN = {"gpus": []}
SEEN = {"gpus": [{"device": "/physical_device:GPU:0"}]}


def test_an_unlicensed_vgpu_makes_the_result_invalid() -> None:
    gpu = {"name": "GRID", "uuid": "GPU-b", "virtualization": "VGPU"}
    for status in ("Unlicensed (Restricted)", "Unlicensed", None):
        (reason,) = validity.gpu_reasons([gpu | {"licence": status}], SEEN, None)
        assert reason.startswith("unlicensed: GRID (GPU-b)")
    licensed = gpu | {"licence": "Licensed (Expiry: 2027-1-1 0:0:0 GMT)"}
    assert validity.gpu_reasons([licensed], SEEN, None) == []


def test_a_whole_card_needs_no_licence() -> None:
    gpu = {"name": "A100", "uuid": "GPU-a", "virtualization": "Pass-Through"}
    assert validity.gpu_reasons([gpu | {"licence": "Unlicensed"}], SEEN, None) == []


def test_a_gpu_that_the_framework_does_not_see_makes_the_result_invalid() -> None:
    gpu = {"name": "A100", "uuid": "GPU-a", "virtualization": "None", "licence": None}
    (reason,) = validity.gpu_reasons([gpu], UNSEEN, None)
    assert reason.startswith("gpu-unseen: ")
    assert validity.gpu_reasons([gpu], SEEN, None) == []
    assert validity.gpu_reasons([gpu], UNSEEN, visible="") == []  # the user's own choice


def test_a_time_limit_that_leaves_too_few_steps_makes_the_result_invalid() -> None:
    short = Measurement(steps=[1.0, 1.0], stopped_by="time-limit")
    (reason,) = validity.too_few_steps(short)
    assert reason.startswith("too-few-steps: 2 timed")
    assert validity.too_few_steps(Measurement(steps=[1.0] * 3, stopped_by="time-limit")) == []


def test_the_numa_node_of_a_card_is_the_kernels(tmp_path: Path, play: Play) -> None:
    (gpu,) = play("a100-passthrough")
    address = gpu["pcie"]["address"].lower().removeprefix("0000")
    node = tmp_path / "machine/sys/bus/pci/devices" / address / "numa_node"
    node.parent.mkdir(parents=True)
    node.write_text("1\n")
    (gpu,) = play("a100-passthrough")
    assert gpu["numa_node"] == 1
