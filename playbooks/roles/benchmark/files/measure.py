"""Run the payload once, alone in this guest, for a limited time.

Runs in the guest: `measure.py FOLDER NAME SECONDS PAYLOAD_ARGUMENT...`. The document goes to
FOLDER/results/NAME.json, what the payload says to FOLDER/results/NAME.log. A run that a broken
connection left behind is ended first: it would take part in the measurement.
"""

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

TAIL_LINES = 12
GRACE_SECONDS = 10
TIMED_OUT = 124  # as timeout(1) has it


def lock_alone(folder: Path) -> int:
    """Take the guest's lock and return it; whoever holds it is from a run nobody waits for."""
    lock = os.open(folder / "measure.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        payload, runner = os.pread(lock, 64, 0).split()
        with suppress(ProcessLookupError):
            os.killpg(int(payload), signal.SIGKILL)
            os.kill(int(runner), signal.SIGKILL)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def run(command: list[str], log: Path, lock: int, seconds: float) -> int:
    """Run the payload in a process group of its own; return its exit code."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        os.pwrite(lock, f"{child.pid} {os.getpid()} ".ljust(64).encode(), 0)
        try:
            return child.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return TIMED_OUT


if __name__ == "__main__":
    home, name, limit, arguments = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4:]
    results = home / "results"
    results.mkdir(exist_ok=True)
    document, said = results / f"{name}.json", results / f"{name}.log"
    held = lock_alone(home)
    document.unlink(missing_ok=True)
    words = [sys.executable, "-m", "payload", *arguments, "--output", str(document)]
    code = run(words, said, held, limit)
    if code != 0:
        tail = said.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        over = [f"ended after its time limit of {limit:.0f} s"] if code == TIMED_OUT else []
        sys.stderr.write("\n".join([*tail, *over, f"the whole log is {said}"]))
    sys.exit(code % 256)
