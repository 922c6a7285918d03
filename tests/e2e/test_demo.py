"""`vdl demo`, as somebody types it who has never seen vdl: everything, once."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

VDL = Path(sys.executable).parent / "vdl"
GRACE_SECONDS = 10.0
MACHINES = ["demo-cpu-1", "demo-direct-1", "demo-shared-1", "demo-shared-2"]


def start(folder: Path) -> "subprocess.Popen[str]":
    # A shell starts its background jobs with Ctrl-C ignored, and this may be such a job's child.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        [VDL, "demo"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip


def still_running(folder: Path) -> list[str]:
    """The command lines of processes that belong to a demo in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            inside = str((process / "cwd").readlink())
        except OSError:
            continue  # it has ended meanwhile
        if str(folder) in command or inside.startswith(str(folder)):
            found.append(command)
    return found


def assert_nothing_is_left(folder: Path) -> None:
    """The kernel ends a guest's processes a moment after the one that made its namespace."""
    end = time.monotonic() + GRACE_SECONDS
    while (left := still_running(folder)) and time.monotonic() < end:
        time.sleep(0.1)
    assert left == []


@pytest.mark.slow
def test_the_demo_ends_with_a_table_a_report_and_what_to_type_next(tmp_path: Path) -> None:
    demo = start(tmp_path)
    out, err = demo.communicate(timeout=280)
    assert demo.returncode == 0, err
    rows = [line for line in out.splitlines() if "│ demo-" in line]
    assert sorted(row.split()[1] for row in rows) == MACHINES
    assert all("simulated" in row for row in rows)
    assert "vdl init" in err

    (run,) = (tmp_path / "vdl-demo" / "results" / "demo").iterdir()
    page = (run / "report.html").read_text()
    assert all(name in page for name in MACHINES)
    assert (run / "report.png").read_bytes().startswith(b"\x89PNG")
    documents = [json.loads((p / "mnist-b64-fp32-synthetic.json").read_text())
                 for p in sorted(run.iterdir()) if p.is_dir()]  # fmt: skip
    assert [d["valid"] for d in documents] == [True] * 4
    # The two shared machines lie on one card, beside the stranger's.
    assert err.count("esx-01 0000:3b:00.0 grid_a100d-10c") == 2
    assert_nothing_is_left(tmp_path)


@pytest.mark.slow
def test_ctrl_c_in_the_demo_leaves_nothing_running(tmp_path: Path) -> None:
    demo = start(tmp_path)
    assert demo.stderr is not None
    said = []
    for line in demo.stderr:
        said.append(line)
        if line == "== configure\n":
            break
    time.sleep(1)  # so that Ansible is at work: a moment is all this can aim at
    demo.send_signal(signal.SIGINT)
    _, err = demo.communicate(timeout=60)
    assert demo.returncode == 130, "".join(said) + err
    assert "Traceback" not in err
    assert_nothing_is_left(tmp_path)
