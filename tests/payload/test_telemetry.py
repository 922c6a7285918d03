"""Telemetry against a stand-in for the driver's library, at its C interface."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from payload.telemetry import counters, report, throttle, toolbox
from payload.telemetry.counters import CpuTicks
from payload.telemetry.nvml import Cards, GpuSample
from payload.telemetry.watch import Watch

HERE = Path(__file__).parent / "nvml"

Watched = Callable[..., dict[str, Any]]

WHOLE = """
devices - 1
utilisation 0 97 99 98
memory 0 42949672960
power 0 250000
temperature 0 61 64 66
clock_sm 0 1410
clock_memory 0 1593
throttle 0 4
energy 0 1000000 1005000
process 0 1
"""
LICENSED = "virtualization 0 2\nlicensed 0 1\n"


def build(folder: Path, *flags: str) -> None:
    """Compile the stand-in under the driver's own name."""
    target = folder / "libnvidia-ml.so.1"
    command = ["gcc", "-shared", "-fPIC", "-o", str(target), str(HERE / "fake.c"), *flags]
    subprocess.run(command, check=True)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nvml")
    build(folder)
    return folder


@pytest.fixture
def watched(library: Path, tmp_path: Path) -> Watched:
    """Watch for some samples with a plan, in a process of its own."""

    def watch(plan: str, *, images: int = 0, folder: Path = library) -> dict[str, Any]:
        (tmp_path / "plan").write_text(plan)
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": str(folder),
            "FAKE_NVML": str(tmp_path / "plan"),
        }
        command = [sys.executable, str(HERE / "child.py"), "0.1", str(images)]
        done = subprocess.run(
            command, check=True, capture_output=True, env=environment, cwd=Path(__file__).parents[2]
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return watch


def test_a_card_is_summarised(watched: Watched) -> None:
    found = watched(WHOLE, images=50)
    (gpu,) = found["gpus"]
    assert found["gpus_absent"] is None
    assert gpu["uuid"] == "GPU-0"
    assert gpu["used"] is True
    assert gpu["utilisation_percent"] == {"min": 97, "median": 98, "max": 99}
    assert gpu["memory_used_mib"]["median"] == 40960
    assert gpu["power_w"]["median"] == 250
    assert gpu["temperature_c"]["max"] == 66
    assert gpu["clock_sm_mhz"]["min"] == 1410
    assert gpu["clock_memory_mhz"]["min"] == 1593
    assert gpu["throttle"] == {"power-cap": 1.0}
    assert gpu["slowed_share"] == 0
    assert gpu["licensed"] is None  # none needed
    assert gpu["errors"] == {}
    assert len(gpu["series"]["power_w"]) == len(found["times"]) == found["samples"]
    assert gpu["energy_joules"] == pytest.approx(5)
    assert gpu["energy_source"] == "counter"
    assert found["energy"] == {"gpu_joules": 5, "gpu_joules_per_image": 0.1}


def test_a_vgpu_that_tells_little_is_summarised_by_what_it_tells(watched: Watched) -> None:
    found = watched("devices - 1\nmemory 0 1048576\n" + LICENSED, images=50)
    (gpu,) = found["gpus"]
    assert gpu["memory_used_mib"]["max"] == 1
    assert gpu["licensed"] is True
    silent = {"utilisation_percent", "power_w", "temperature_c", "clock_sm_mhz", "throttle"}
    assert {name for name in silent if gpu[name] is None} == silent
    assert gpu["used"] is None
    assert gpu["errors"] == {}
    assert found["energy"] == {"gpu_joules": None, "gpu_joules_per_image": None}


def test_a_licence_that_is_lost_on_the_way_shows(watched: Watched) -> None:
    (gpu,) = watched("devices - 1\nvirtualization 0 2\nlicensed 0 1 1 0 1\n")["gpus"]
    assert gpu["licensed"] is False


def test_a_whole_card_has_no_licence_to_lose(watched: Watched) -> None:
    (gpu,) = watched(WHOLE + "virtualization 0 1\nlicensed 0 0\n")["gpus"]
    assert gpu["licensed"] is None


def test_an_error_on_the_way_is_noted_and_the_rest_goes_on(watched: Watched) -> None:
    plan = WHOLE.replace("power 0 250000", "power 0 250000 !15 260000")
    (gpu,) = watched(plan)["gpus"]
    assert gpu["errors"] == {"power_w": "GPU is lost"}
    assert gpu["power_w"]["max"] == 260
    assert gpu["series"]["power_w"][1] is None


def test_a_driver_that_no_longer_answers_holds_up_nothing(watched: Watched) -> None:
    started = counters.read().seconds
    (gpu,) = watched(WHOLE.replace("power 0 250000", "power 0 250000 z60"))["gpus"]
    assert counters.read().seconds - started < 30
    assert gpu["errors"] == {"nvml": "the driver no longer answers"}
    assert gpu["power_w"]["median"] == 250


def test_without_a_counter_energy_is_the_integral_of_power(
    watched: Watched, tmp_path: Path
) -> None:
    build(tmp_path, "-DOLD_DRIVER")
    found = watched(WHOLE, folder=tmp_path, images=10)
    (gpu,) = found["gpus"]
    assert gpu["energy_source"] == "power"
    between = found["times"][-1] - found["times"][0]
    assert gpu["energy_joules"] == pytest.approx(250 * between, rel=0.02)
    assert gpu["temperature_c"]["max"] == 66  # by the older functions
    assert gpu["throttle"] == {"power-cap": 1.0}


def test_another_process_on_the_card_is_counted(watched: Watched) -> None:
    (gpu,) = watched(WHOLE.replace("process 0 1", "process 0 1 4242"))["gpus"]
    assert gpu["other_processes"] == 1
    (gpu,) = watched(WHOLE)["gpus"]
    assert gpu["other_processes"] == 0


def test_a_card_that_another_process_has_is_not_ours(watched: Watched) -> None:
    found = watched(WHOLE.replace("devices - 1", "devices - 2") + "process 1 0\nenergy 1 0 9000\n")
    assert [gpu["used"] for gpu in found["gpus"]] == [True, False]
    assert found["energy"]["gpu_joules"] == 5


@pytest.mark.parametrize(
    ("plan", "says"),
    [("init - !9\n", "Driver Not Loaded"), ("devices - 0\n", "NVML lists no GPU")],
)
def test_why_there_are_no_cards_is_told(watched: Watched, plan: str, says: str) -> None:
    found = watched(plan)
    assert found["gpus"] == []
    assert found["gpus_absent"] == says


def test_without_a_driver_the_rest_is_watched(watched: Watched, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    found = watched("", folder=empty)
    assert found["gpus_absent"] == "NVML Shared Library Not Found"
    assert found["cpu"]["own_percent"] >= 0


def test_a_failure_within_the_block_comes_through_and_the_thread_ends() -> None:
    watch = Watch(Cards(), interval=60.0)
    with pytest.raises(KeyError), watch.running():
        raise KeyError
    assert watch.end is not None


def test_a_second_watch_forgets_the_first() -> None:
    watch = Watch(Cards(), interval=60.0)
    with watch.running():
        pass
    first = watch.times
    with watch.running():
        pass
    assert watch.times[0] > first[-1]
    assert len(watch.times) == len(watch.ticks) <= 2


def test_own_work_is_told_from_that_of_others() -> None:
    watch = Watch(Cards(), interval=0.05)
    with watch.running():
        until = time.process_time() + 0.2
        while time.process_time() < until:
            pass
    found = report.describe(watch, 0)
    assert found is not None
    assert found["cpu"]["own_percent"] * found["seconds"] / 100 == pytest.approx(0.2, abs=0.1)
    assert found["memory"]["peak_bytes"] > 1_000_000


def test_a_watch_that_never_ran_has_nothing_to_tell() -> None:
    assert report.describe(Watch(Cards()), 0) is None


def test_a_long_run_keeps_some_of_its_samples() -> None:
    watch = Watch(Cards(), interval=1.0)
    watch.start = watch.end = counters.read()
    watch.end = counters.read()
    watch.times = [float(second) for second in range(1000)]
    watch.ticks = [None] * 1000
    found = report.describe(watch, 0)
    assert found is not None
    assert found["samples"] == 1000
    assert found["times"] == [float(second) for second in range(0, 1000, 5)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in {
        "proc/stat": "cpu  100 0 100 700 50 0 0 50 0 0\ncpu0 1\n",
        "proc/vmstat": "pgpgin 1\npswpin 10\npswpout 20\n",
        "proc/cpuinfo": "cpu MHz\t\t: 2600.1\n\ncpu MHz\t\t: 2400.1\n",
        "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "3\n",
        "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": "4\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_counters_are_read(root: Path) -> None:
    found = counters.read(root)
    assert found.cpu == CpuTicks(total=1000, busy=200, steal=50)
    assert found.swapped_bytes == 30 * os.sysconf("SC_PAGESIZE")
    assert found.mhz == pytest.approx(2500.1)
    assert found.thermal_events == 7


def test_counters_that_are_not_there_are_unknown(tmp_path: Path) -> None:
    found = counters.read(tmp_path)
    assert (found.cpu, found.swapped_bytes, found.mhz, found.thermal_events) == (None,) * 4


def test_steal_swap_and_heat_are_differences(root: Path) -> None:
    start = counters.read(root)
    (root / "proc/stat").write_text("cpu  150 0 100 730 50 0 0 70 0 0\n")
    end = counters.read(root)
    found = report.describe_cpu(start, end, [start.cpu, end.cpu])
    assert found["steal_percent"] == pytest.approx(20)
    assert found["steal_worst_percent"] == pytest.approx(20)
    assert found["busy_percent"]["median"] == pytest.approx(50)
    assert found["steal_known"] is True
    assert found["thermal_events"] == 0


def test_throttle_bits_have_names() -> None:
    assert throttle.names(0x44) == ("power-cap", "hardware-thermal")
    assert throttle.names(0x1000) == ("0x1000",)
    assert throttle.shares([0x4, 0x44, 0, 0]) == {"power-cap": 0.5, "hardware-thermal": 0.25}
    assert throttle.slowed_share([0x4, 0x44, 0, 0]) == 0.25


@pytest.mark.parametrize(
    ("clocks", "fell"), [([1400] * 9, 0), ([1400] * 3 + [1300] * 3 + [700] * 3, 50), ([1], None)]
)
def test_falling_clocks_are_measured(clocks: list[float], fell: float | None) -> None:
    assert report.clock_fell_percent(clocks) == fell


def test_in_a_container_the_only_process_is_taken_for_ours() -> None:
    seen = [GpuSample(processes=frozenset({77}))]
    assert report.used(seen, {1}) is None
    assert report.others(seen, {1}) == set()
    assert len(report.others([GpuSample(processes=frozenset({77, 78}))], {1})) == 1


TOOLBOX = """#!/bin/sh
case $2 in
speed) echo '2600 MHz';; balloon) echo '512 MB';; cpulimit) echo '4294967295 MHz';;
memlimit) echo unlimited;; cpures) echo '0 MHz';; *) echo 'not allowed' >&2; exit 1;;
esac
"""


def test_vmware_tools_tell_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "vmware-toolbox-cmd"
    program.write_text(TOOLBOX)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert toolbox.describe() == {
        "host_cpu_mhz": 2600,
        "balloon_mib": 512,
        "host_swapped_mib": None,
        "cpu_reservation_mhz": 0,
        "cpu_limit_mhz": None,
        "memory_reservation_mib": None,
        "memory_limit_mib": None,
    }


def test_without_vmware_tools_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert toolbox.describe() is None
