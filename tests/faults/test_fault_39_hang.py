"""A payload that hangs: the watchdog ends its whole process group and keeps what it said."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

MEASURE = Path(__file__).parents[2] / "playbooks/roles/benchmark/files/measure.py"
# Ignores SIGTERM, as does its child, which would go on alone.
HUNG = """\
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("last words before the hang; child", child.pid, flush=True)
{chatter}
time.sleep(600)
"""
CHATTER = "while True: print('timed: 1 images/s', flush=True); time.sleep(0.1)"


def hang(folder: Path, chatter: str, seconds: float, silence: float) -> tuple[int, str, int]:
    """Measure a payload that hangs; return the exit code, what is said, and its child's id."""
    package = folder / "release" / "payload"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(HUNG.format(chatter=chatter))
    # SIGTERM is ignored, and nobody wants to wait for the ten seconds of grace here.
    script = MEASURE.read_text().replace("GRACE_SECONDS = 10", "GRACE_SECONDS = 0.5")
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder), "hung", str(seconds), str(silence)],
        env={"PYTHONPATH": str(folder / "release"), "PATH": "/usr/bin:/bin"},
        cwd=folder, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    log = (folder / "results" / "hung.log").read_text()
    return done.returncode, done.stderr, int(log.splitlines()[0].split()[-1])


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # its parent is gone, and whoever inherits it may take a moment


@pytest.mark.parametrize(
    ("chatter", "seconds", "silence", "why"),
    [
        ("", 60, 1, "hung: ended after 1 s without a word"),
        (CHATTER, 1.5, 60, "ended after its time limit of 2 s"),
    ],
    ids=["silent", "endless"],
)
def test_fault_39_a_hang_ends_with_its_process_group_and_its_log_is_kept(
    tmp_path: Path, chatter: str, seconds: float, silence: float, why: str
) -> None:
    started = time.monotonic()
    code, said, child = hang(tmp_path, chatter, seconds, silence)
    assert code == 124
    assert why in said
    assert ("last words before the hang" if not chatter else "timed: 1 images/s") in said
    assert f"the whole log is {tmp_path}/results/hung.log" in said
    assert time.monotonic() - started < 20
    end = time.monotonic() + 5
    while is_running(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_running(child)
