"""`nvidia-smi`, played by a script in PATH."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from payload import gpus, validity
from payload.measurement import Measurement

PASSTHROUGH = (
    "GPU-aaaa, NVIDIA A100-SXM4-80GB, 570.86.15, 81920, 1410, 1593, 1410, Enabled, Disabled, "
    "400.00, Enabled\n"
)
VGPU = (
    "GPU-bbbb, GRID A100D-10C, 570.86.15, 10240, [N/A], [N/A], [Not Supported], "
    "[Unknown Error], N/A, [N/A], Enabled\n"
)
DETAILS = """
==============NVSMI LOG==============

Attached GPUs                             : 1
GPU 00000000:02:00.0
    Product Name                          : GRID A100D-10C
    GPU UUID                              : GPU-bbbb
    GPU Virtualization Mode
        Virtualization Mode               : VGPU
    vGPU Software Licensed Product
        Product Name                      : NVIDIA Virtual Compute Server
        License Status                    : {}
"""

Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a shell script called nvidia-smi first in PATH."""

    def write(script: str) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return write


def test_without_nvidia_smi_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert gpus.describe() == []


def test_a_card_is_described(install: Install) -> None:
    install(f"case $1 in --query*) printf '{PASSTHROUGH}';; esac")
    assert gpus.describe() == [
        {
            "uuid": "GPU-aaaa",
            "name": "NVIDIA A100-SXM4-80GB",
            "driver": "570.86.15",
            "memory_mib": 81920.0,
            "clock_sm_mhz": 1410.0,
            "clock_memory_mhz": 1593.0,
            "clock_sm_max_mhz": 1410.0,
            "ecc": "Enabled",
            "mig": "Disabled",
            "power_limit_w": 400.0,
            "persistence": "Enabled",
            "virtualization": None,
            "licence": None,
        }
    ]


def test_what_a_vgpu_does_not_know_is_null(install: Install, tmp_path: Path) -> None:
    (tmp_path / "details").write_text(DETAILS.format("Licensed (Expiry: 2027-1-1 0:0:0 GMT)"))
    install(f"case $1 in --query*) printf '{VGPU}';; -q) cat {tmp_path}/details;; esac")
    (gpu,) = gpus.describe()
    assert gpu["virtualization"] == "VGPU"
    assert gpu["licence"] == "Licensed (Expiry: 2027-1-1 0:0:0 GMT)"
    unknown = {"clock_sm_mhz", "clock_memory_mhz", "clock_sm_max_mhz", "ecc", "mig"}
    assert {key for key, value in gpu.items() if value is None} == unknown | {"power_limit_w"}


def test_an_older_driver_is_asked_for_less(install: Install) -> None:
    install(
        'case "$1" in\n'
        "*mig.mode*) echo 'Field \"mig.mode.current\" is not a valid field to query.'; exit 2;;\n"
        "--query*) echo 'warning: infoROM'; echo 'GPU-cccc, Tesla T4, 418.87, 15109';;\n"
        "*) exit 3;; esac"
    )
    (gpu,) = gpus.describe()
    assert gpu["name"] == "Tesla T4"
    assert gpu["memory_mib"] == 15109.0


def test_a_driver_that_does_not_answer_has_no_gpus(install: Install) -> None:
    install("echo 'NVIDIA-SMI has failed'; exit 9")
    assert gpus.describe() == []


UNSEEN = {"gpus": []}
SEEN = {"gpus": [{"device": "/physical_device:GPU:0"}]}


def test_an_unlicensed_vgpu_makes_the_result_invalid() -> None:
    gpu = {"name": "GRID", "uuid": "GPU-b"} | gpus.parse_details(DETAILS.format("Unlicensed"))[
        "GPU-bbbb"
    ]
    (reason,) = validity.gpu_reasons([gpu], SEEN, None)
    assert reason.startswith("unlicensed: GRID (GPU-b)")


def test_a_gpu_that_the_framework_does_not_see_makes_the_result_invalid() -> None:
    gpu = {"name": "A100", "uuid": "GPU-a", "licence": None}
    (reason,) = validity.gpu_reasons([gpu], UNSEEN, None)
    assert reason.startswith("gpu-unseen: ")
    assert validity.gpu_reasons([gpu], SEEN, None) == []
    assert validity.gpu_reasons([gpu], UNSEEN, visible="") == []  # the user's own choice


def test_a_time_limit_that_leaves_too_few_steps_makes_the_result_invalid() -> None:
    short = Measurement(steps=[1.0, 1.0], stopped_by="time-limit")
    (reason,) = validity.too_few_steps(short)
    assert reason.startswith("too-few-steps: 2 timed")
    assert validity.too_few_steps(Measurement(steps=[1.0] * 3, stopped_by="time-limit")) == []
