"""What makes a result invalid, and what is a warning."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from payload import judgement
from payload.measurement import Measurement

FRAMEWORK = {"gpus": [{"device": "GPU:0"}]}
NO_GPU: dict[str, Any] = {"gpus": []}
GPU = {
    "uuid": "GPU-0",
    "used": True,
    "utilisation_percent": {"min": 90, "median": 97, "max": 99},
    "throttle": {"power-cap": 1.0},
    "slowed_share": 0.0,
    "clock_fell_percent": 1.0,
    "licensed": None,
    "other_processes": 0,
    "errors": {},
}
CALM = {
    "seconds": 10.0,
    "cpu": {"steal_percent": 0.0, "busy_by_others_percent": 1.0, "thermal_events": 0},
    "memory": {"swapped_bytes": 0},
    "gpus_absent": None,
}


def telemetry(path: str = "", value: Any = None) -> dict[str, Any]:
    """Calm telemetry but for one value; `gpus` is its one card."""
    found = deepcopy(CALM | {"gpus": GPU})
    *folders, name = path.split(".")
    inner = found
    for folder in folders:
        inner = inner[folder]
    if path:
        inner[name] = value
    found["gpus"] = [found["gpus"]]
    return found


def codes(lines: Any) -> list[str]:
    return [line.partition(":")[0] for line in lines]


def test_a_calm_machine_has_nothing_against_it() -> None:
    assert list(judgement.reasons(telemetry(), FRAMEWORK)) == []
    assert list(judgement.warnings(telemetry(), FRAMEWORK, {"vmware_tools": None})) == []


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("gpus.slowed_share", 0.2, "throttled"),
        ("gpus.other_processes", 1, "gpu-shared"),
        ("gpus.licensed", False, "licence-lost"),
        ("gpus.utilisation_percent", {"min": 0, "median": 0, "max": 0}, "gpu-idle"),
        ("memory.swapped_bytes", 11 << 20, "swapping"),
    ],
)
def test_a_machine_that_was_not_itself_makes_the_result_invalid(
    path: str, value: Any, code: str
) -> None:
    assert codes(judgement.reasons(telemetry(path, value), FRAMEWORK)) == [code]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("gpus.slowed_share", 0.04),
        ("gpus.licensed", True),
        ("gpus.used", False),
        ("gpus.utilisation_percent", None),
        ("gpus.slowed_share", None),
        ("memory.swapped_bytes", 1 << 20),
        ("memory.swapped_bytes", None),
    ],
)
def test_what_is_small_or_unknown_makes_nothing_invalid(path: str, value: Any) -> None:
    assert list(judgement.reasons(telemetry(path, value), FRAMEWORK)) == []


def test_a_card_of_somebody_else_and_a_run_on_the_cpu_are_not_judged() -> None:
    hot = telemetry("gpus.slowed_share", 1.0)
    assert list(judgement.reasons(hot, NO_GPU)) == []
    hot["gpus"][0]["used"] = False
    assert list(judgement.reasons(hot, FRAMEWORK)) == []


def test_what_slowed_a_card_is_named() -> None:
    hot = telemetry("gpus.slowed_share", 0.5)
    hot["gpus"][0]["throttle"] = {"hardware-thermal": 0.5, "power-cap": 1.0}
    (reason,) = judgement.reasons(hot, FRAMEWORK)
    assert "in 50% of the samples (hardware-thermal)" in reason


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("gpus.clock_fell_percent", 9.0, "clock-fell"),
        ("gpus.utilisation_percent", {"min": 10, "median": 30, "max": 60}, "gpu-starved"),
        ("gpus.errors", {"power_w": "GPU is lost"}, "telemetry-gap"),
        ("gpus_absent", "the Python package nvidia-ml-py is not installed", "telemetry-absent"),
        ("cpu.steal_percent", 5.0, "steal"),
        ("cpu.busy_by_others_percent", 30.0, "cpu-shared"),
        ("cpu.thermal_events", 2, "cpu-hot"),
    ],
)
def test_what_a_reader_should_know_is_a_warning(path: str, value: Any, code: str) -> None:
    found = telemetry(path, value)
    assert codes(judgement.warnings(found, FRAMEWORK, {"vmware_tools": None})) == [code]
    assert list(judgement.reasons(found, FRAMEWORK)) == []


@pytest.mark.parametrize(
    ("tools", "code"),
    [
        ({"balloon_mib": 512}, "memory-taken"),
        ({"host_swapped_mib": 1}, "memory-taken"),
        ({"cpu_limit_mhz": 4000}, "cpu-limited"),
    ],
)
def test_what_the_host_took_is_a_warning(tools: dict[str, int], code: str) -> None:
    assert codes(judgement.warnings(None, None, {"vmware_tools": tools})) == [code]


STEADY = {"median": 100.0, "low": 99.5, "high": 100.5}


@pytest.mark.parametrize(
    ("measured", "throughput", "expected"),
    [
        ({}, STEADY, []),
        ({"warmup_stable": False}, STEADY, ["warm-up-unstable"]),
        ({"stopped_by": "time-limit"}, STEADY, []),
        ({"stopped_by": "time-limit"}, STEADY | {"low": 90.0}, ["interval-wide"]),
        ({"stopped_by": "steps"}, STEADY | {"low": 90.0}, []),
        ({"waited_seconds": 3.0}, STEADY, ["input-bound"]),
        ({"warmup_stable": False}, {"median": None, "low": None, "high": None}, []),
    ],
)
def test_what_the_steps_leave_open_is_a_warning(
    measured: dict[str, Any], throughput: dict[str, Any], expected: list[str]
) -> None:
    calm = {"warmup_stable": True, "timed_seconds": 10.0, "stopped_by": "precision"}
    record = Measurement(**(calm | measured))
    assert codes(judgement.warnings_of_steps(record, throughput, 0.01)) == expected


def test_a_run_shows_what_the_card_did_while_steps_were_timed(
    tmp_path: Path, checked: Callable[[Path], dict[str, Any]]
) -> None:
    """A whole run on the CPU beside a card that the driver's stand-in plays."""
    source = Path(__file__).parent / "nvml/fake.c"
    library = tmp_path / "libnvidia-ml.so.1"
    command = ["gcc", "-shared", "-fPIC", "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    (tmp_path / "plan").write_text("devices - 1\nprocess 0 1\npower 0 250000\nthrottle 0 64\n")
    target = tmp_path / "result.json"
    command = [sys.executable, "-m", "payload", "--model", "mnist", "--batch-size", "8"]
    command += ["--ceilings", "off"]
    subprocess.run(
        [*command, "--steps", "12", "--output", str(target)],
        check=True,
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "FAKE_NVML": str(tmp_path / "plan")},
        cwd=Path(__file__).parents[2],
    )
    document = checked(target)
    (gpu,) = document["telemetry"]["gpus"]
    assert gpu["power_w"]["median"] == 250
    assert gpu["slowed_share"] == 1
    assert document["telemetry"]["energy"]["gpu_joules_per_image"] > 0
    assert document["valid"], (
        "the framework sees no GPU, so the card's heat is none of its business"
    )
    assert json.dumps(document).count("GPU-0") == 1
