"""What a child died of, told by recorded traces of it."""

from pathlib import Path

import pytest

from payload.apart.death import Traces, oom_kills
from payload.apart.process import Ended

CHILD = 77
GIB = 1 << 20
"""In kilobytes, as /proc tells sizes."""
LIMITS = "Max data size             {data}            unlimited            bytes\n"
LIMITS += "Max address space         {addresses}            unlimited            bytes\n"
ABORT = (
    "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n"
)
NO_THREAD = "F0000 env.cc:74] Check failed: ret == 0 (11 vs. 0)\n"


def machine(
    root: Path, *, kills: int = 0, data: str = "unlimited", addresses: str = "unlimited"
) -> Path:
    """Write what a child's traces are read from; it holds 2 GiB of data and 3 GiB of addresses."""
    (root / f"proc/{CHILD}").mkdir(parents=True)
    (root / "proc/vmstat").write_text(f"nr_free_pages 5\noom_kill {kills}\n")
    (root / f"proc/{CHILD}/limits").write_text(LIMITS.format(data=data, addresses=addresses))
    (root / f"proc/{CHILD}/status").write_text(f"VmPeak:\t{3 * GIB} kB\nVmData:\t{2 * GIB} kB\n")
    return root


def failure(root: Path, code: int | None, said: str = "", *, kills: int = 0) -> str:
    traces = Traces(root)
    traces.look(CHILD)
    (root / "proc/vmstat").write_text(f"oom_kill {kills}\n")
    return traces.failure(Ended(code, None, said)).reason


@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        (-6, ABORT, "out-of-memory: the training process was killed (SIGABRT): what():  std::bad"),
        (1, "MemoryError\n", "out-of-memory: the training process ended with code 1: MemoryError;"),
        (-11, "", "died: the training process was killed (SIGSEGV)"),
        (-6, NO_THREAD, f"died: the training process was killed (SIGABRT): {NO_THREAD.strip()}"),
        (
            3,
            "no GPU\nI0000 00:00 port.cc:153] oneDNN\n",
            "died: the training process ended with code 3: no GPU",
        ),
        (-4, "no GPU", "died: the training process was killed (SIGILL)"),
        (-9, "", "died: the training process was killed (SIGKILL)"),
        (None, "", "time: the training process did not end in time and was killed"),
    ],
)
def test_a_death_is_told_by_its_signal_and_its_last_words(
    tmp_path: Path, code: int | None, said: str, reason: str
) -> None:
    assert failure(machine(tmp_path), code, said).startswith(reason)


@pytest.mark.parametrize(
    ("code", "before", "after", "kind"),
    [(-9, 4, 5, "out-of-memory"), (-9, 4, 4, "died"), (-15, 4, 5, "died")],
)
def test_the_oom_killer_is_told_by_its_counter(
    tmp_path: Path, code: int, before: int, after: int, kind: str
) -> None:
    assert failure(machine(tmp_path, kills=before), code, kills=after).startswith(f"{kind}: ")


@pytest.mark.parametrize(
    ("limits", "code", "reason"),
    [
        ({"addresses": str(4 << 30)}, -11, "it had 3.0 of the 4.0 GiB that its limit allows (ul"),
        ({"data": str(3 << 30)}, -6, "it had 2.0 of the 3.0 GiB that its limit allows (ulimit -d"),
        ({"data": str(5 << 30)}, -11, "died: "),
        ({"addresses": str(4 << 30)}, -4, "died: "),
    ],
)
def test_a_silent_death_near_a_limit_is_one_for_lack_of_memory(
    tmp_path: Path, limits: dict[str, str], code: int, reason: str
) -> None:
    told = failure(machine(tmp_path, **limits), code)
    assert reason in told
    assert told.startswith("out-of-memory: ") is (reason != "died: ")


@pytest.mark.parametrize(
    ("cgroup", "file", "content"),
    [
        ("0::/box\n", "box/memory.events", "oom 9\noom_kill 3\noom_group_kill 0\n"),
        ("4:memory:/box\n", "memory/box/memory.oom_control", "under_oom 0\noom_kill 3\n"),
    ],
)
def test_the_kills_of_the_own_cgroup_count_where_it_tells_them(
    tmp_path: Path, cgroup: str, file: str, content: str
) -> None:
    machine(tmp_path, kills=8)
    assert oom_kills(tmp_path) == 8
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "proc/self/cgroup").write_text(cgroup)
    counter = tmp_path / "sys/fs/cgroup" / file
    counter.parent.mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cgroup.controllers").write_text("cpu memory\n")
    counter.write_text(content)
    assert oom_kills(tmp_path) == 3
