"""How long `vdl --help` takes, beside a bare interpreter: what a shell user waits for."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROUNDS = 15


def seconds(*words: str) -> float:
    started = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def run() -> Iterator[str]:
    vdl = str(Path(sys.executable).parent / "vdl")
    pairs = [(seconds(vdl, "--help"), seconds(sys.executable, "-c", "")) for _ in range(ROUNDS)]
    ours, bare = (median(column) for column in zip(*pairs, strict=True))
    yield f"vdl --help {ours:.3f} s, {ours / bare:.1f} x a bare interpreter (goal: below 0.2 s)"
