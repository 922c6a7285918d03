"""Run the payload once, alone in this guest, and end it if it hangs.

Runs in the guest: `measure.py FOLDER NAME SECONDS SILENCE PAYLOAD_ARGUMENT...`. The document goes
to FOLDER/results/NAME.json, what the payload says to FOLDER/results/NAME.log. The payload is ended
with its whole process group after SECONDS, or after SILENCE seconds without a word: it tells each
few seconds how fast it is. A run that a broken connection left behind is ended first: it would
take part in the measurement.

Where the role verify has left its gate in FOLDER, it is looked through again after the run, and
its verdict goes to FOLDER/results/after/NAME.json: a licence may be lost while one measures.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

TAIL_LINES = 12
GRACE_SECONDS = 10
POLL_SECONDS = 0.2
TIMED_OUT = 124  # as timeout(1) has it
GATE_SECONDS = 300


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


def run(
    command: list[str], log: Path, lock: int, seconds: float, silence: float
) -> tuple[int, str]:
    """Run the payload in a process group of its own; return its exit code, and why it was ended."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        os.pwrite(lock, f"{child.pid} {os.getpid()} ".ljust(64).encode(), 0)
        why = watch(child, log, seconds, silence)
        return (TIMED_OUT, why + end(child)) if why else (child.returncode, "")


def watch(child: "subprocess.Popen[bytes]", log: Path, seconds: float, silence: float) -> str:
    """Wait for the payload; return an empty text when it is done, else why to end it."""
    start = heard = time.monotonic()
    size = 0
    while True:
        with suppress(subprocess.TimeoutExpired):
            child.wait(POLL_SECONDS)
            return ""
        now = time.monotonic()
        if log.stat().st_size != size:
            size, heard = log.stat().st_size, now
        if now - start >= seconds:
            return f"ended after its time limit of {seconds:.0f} s"
        if now - heard >= silence:
            return f"hung: ended after {silence:.0f} s without a word"


def end(child: "subprocess.Popen[bytes]") -> str:
    """End the payload and all that it started; return what to add if that was in vain."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        # It waits inside the kernel, as for a GPU that no longer answers.
        return f"; process {child.pid} can't be killed, reboot this machine"
    return ""


def look_again(home: Path, verdict: Path) -> None:
    """Look through the gate after the run, but not at TensorFlow, which has just computed.

    A gate that can't say anything has not been passed, and its verdict says so.
    """
    program, question = home / "gate.pyz", home / "gate-question.json"
    verdict.unlink(missing_ok=True)
    if not program.is_file():
        return
    verdict.parent.mkdir(exist_ok=True)
    asked = {**json.loads(question.read_text()), "moment": "after", "framework_python": ""}
    words = [sys.executable, "-I", str(program), str(verdict)]
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(
            words, input=json.dumps(asked).encode(), timeout=GATE_SECONDS, check=False,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
    if not verdict.is_file():
        reasons = ["gate: it gave no verdict after the run"]
        failed = {"version": 1, "kind": "vdl-gate", "passed": False, "reasons": reasons}
        verdict.write_text(json.dumps(failed))


if __name__ == "__main__":
    home, name, arguments = Path(sys.argv[1]), sys.argv[2], sys.argv[5:]
    results = home / "results"
    results.mkdir(exist_ok=True)
    document, said = results / f"{name}.json", results / f"{name}.log"
    held = lock_alone(home)
    for old in (document, results / f"{name}.job.json"):
        old.unlink(missing_ok=True)
    words = [sys.executable, "-m", "payload", *arguments, "--output", str(document)]
    code, ended = run(words, said, held, float(sys.argv[3]), float(sys.argv[4]))
    look_again(home, results / "after" / f"{name}.json")
    if code != 0:
        tail = said.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        sys.stderr.write(
            "\n".join([*tail, *([ended] if ended else []), f"the whole log is {said}"])
        )
    sys.exit(code % 256)
