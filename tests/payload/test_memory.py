"""The limit on the process' memory."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from payload.tuning import memory

GIB = 1 << 30


def machine(tmp_path: Path, *, available: int, held: int = 0) -> Path:
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(
        f"MemTotal: {64 * GIB // 1024} kB\nMemAvailable: {available // 1024} kB\n"
    )
    (proc / "self/status").write_text(f"Name:\tpython\nVmData:\t{held // 1024} kB\n")
    return tmp_path


def test_most_of_what_is_available_may_be_taken_and_the_limit_goes_again(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory.bounded(machine(tmp_path, available=40 * GIB, held=2 * GIB)) as limit:
        assert limit == 2 * GIB + int(0.9 * 40 * GIB)
        assert resource.getrlimit(resource.RLIMIT_DATA) == (limit, before[1])
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_system_that_does_not_tell_gets_no_limit(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory.bounded(tmp_path) as limit:
        assert limit is None
        assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_a_lower_limit_of_the_user_is_kept_and_memory_beyond_it_refused() -> None:
    code = (
        "import resource, numpy\n"
        "from payload.tuning import memory\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, resource.RLIM_INFINITY))\n"
        "with memory.bounded() as limit:\n"
        "    print(limit)\n"
        "    try:\n"
        "        numpy.ones(1 << 31, numpy.uint8)\n"
        "    except MemoryError:\n"
        "        print('refused')\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(1 << 30), "refused"]


@pytest.mark.parametrize("cgroup", ["4294967296\n", "max\n"])
def test_a_container_may_take_what_its_cgroup_grants(tmp_path: Path, cgroup: str) -> None:
    root = machine(tmp_path, available=40 * GIB)
    (root / "proc/self/cgroup").write_text("0::/box\n")
    folder = root / "sys/fs/cgroup/box"
    folder.mkdir(parents=True)
    (root / "sys/fs/cgroup/cgroup.controllers").write_text("cpu memory\n")
    (folder / "memory.max").write_text(cgroup)
    expected = 40 * GIB if cgroup == "max\n" else 4 * GIB
    with memory.bounded(root) as limit:
        assert limit == int(0.9 * expected)
