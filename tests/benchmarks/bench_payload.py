"""The payload beside other ways to train: ratios, each from one run in which all took turns.

Goals on two CPU cores: (b) 1.0 in fp32 and 1.8 in bf16; (c) 80 % of the convolution ceiling in
fp32, 75 % in bf16; (d) 75 % at batch 128 a worker, 85 % at 512.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.sidebyside import Cell, ratio, speeds

BF16 = "mixed_bf16"
NATIVE_BF16 = {"avx512_bf16", "amx_bf16"}
FIT = (("mnist", 64), ("mnist", 256), ("vgg16", 8))
RECIPE = (("lenet5", 128), ("vgg16", 8))
VGG = {"rounds": 3, "seconds": 6.0}
VGG_BATCH, VGG_SECONDS = 16, 40
WORKER_BATCHES = (128, 512)
WORKER_SECONDS, WORKER_ROUNDS = 8, 2
TIMEOUT = 600


def run() -> Iterator[str]:
    """Yield (a) to (d), each under its heading."""
    precisions = ("fp32", BF16) if _has_native_bf16() else ("fp32",)
    if BF16 not in precisions:
        yield "this CPU has no bfloat16 of its own: only fp32 is measured"
    yield "(a) payload over model.fit: same model, data, batch and optimizer"
    for network, batch in FIT:
        for precision in precisions:
            yield _beside_fit(network, batch, precision)
    yield "(b) payload over tf_cnn_benchmarks' recipe in fp32, as tests/benchmarks/trainers.py has"
    yield "    it (a TensorFlow 1 graph); tf_cnn_benchmarks itself is not installed here"
    for network, batch in RECIPE:
        yield from _beside_recipe(network, batch, precisions)
    yield f"(c) share of the ceilings measured in the same run, VGG-16, batch {VGG_BATCH}"
    for precision in precisions:
        yield _of_ceilings(precision)
    yield "(d) two workers of one core each over one, on loopback"
    for batch in WORKER_BATCHES:
        yield _together(batch)


def _beside_fit(network: str, batch: int, precision: str) -> str:
    cells: list[Cell] = [(kind, network, batch, precision) for kind in ("payload", "fit")]
    ours, fit = speeds(cells, **(VGG if network.startswith("vgg") else {}))  # type: ignore[arg-type]
    return (
        f"    {network}, batch {batch}, {precision}: {ratio(ours, fit)}; "
        f"{median(ours):.4g} against {median(fit):.4g} images/s"
    )


def _beside_recipe(network: str, batch: int, precisions: tuple[str, ...]) -> Iterator[str]:
    cells: list[Cell] = [("recipe", network, batch, "fp32")]
    cells += [("payload", network, batch, precision) for precision in precisions]
    recipe, *ours = speeds(cells, **(VGG if network.startswith("vgg") else {}))  # type: ignore[arg-type]
    for precision, found in zip(precisions, ours, strict=True):
        yield (
            f"    {network}, batch {batch}, {precision}: {ratio(found, recipe)}; "
            f"{median(found):.4g} against {median(recipe):.4g} images/s"
        )


def _of_ceilings(precision: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        document = _payload(
            Path(folder) / "vgg16.json",
            "--model=vgg16", f"--batch-size={VGG_BATCH}", f"--precision={precision}",
            f"--time-limit={VGG_SECONDS}",
        )  # fmt: skip
    shares = document["ceilings"]
    return (
        f"    {precision}: {shares['of_convolution']:.0%} of convolution, "
        f"{shares['of_matmul']:.0%} of matmul; {document['throughput']['median']:.3g} images/s"
    )


def _together(batch: int) -> str:
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(WORKER_ROUNDS):
            options = [
                "--model=mnist", f"--batch-size={batch}", "--threads=1",
                f"--time-limit={WORKER_SECONDS}",
            ]  # fmt: skip
            _payload(folder / "alone.json", *options, core=0)
            found.append(_job(folder, options))
    shares = [job["scaling"]["efficiency"] for job in found]
    images = median(job["throughput"]["median"] for job in found)
    return (
        f"    mnist, batch {batch} a worker: {median(shares):.0%} "
        f"({min(shares):.0%} to {max(shares):.0%}); {images:.4g} images/s together"
    )


def _job(folder: Path, options: list[str]) -> dict[str, Any]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    job = folder / "job.json"
    common = [*options, f"--workers=127.0.0.1:{port},127.0.0.1:{port + 1}"]
    common += [f"--alone={folder / 'alone.json'}"]
    targets = [folder / "0.json", folder / "1.json"]
    first = _start(targets[0], *common, "--rank=0", f"--job-output={job}", core=0)
    second = _start(targets[1], *common, "--rank=1", core=1)
    for process, target in zip((first, second), targets, strict=True):
        _wait(process, target)
    document: dict[str, Any] = json.loads(job.read_text(encoding="utf-8"))
    return document


def _payload(target: Path, *options: str, core: int | None = None) -> dict[str, Any]:
    _wait(_start(target, *options, core=core), target)
    document: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
    return document


def _start(target: Path, *options: str, core: int | None) -> subprocess.Popen[bytes]:
    cores = sorted(os.sched_getaffinity(0))
    pinned = {cores[core % len(cores)]} if core is not None else {*cores}
    with target.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "payload", *options, "--output", str(target)],
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, pinned),  # noqa: PLW1509 no threads run here
        )


def _wait(process: subprocess.Popen[bytes], target: Path) -> None:
    if process.wait(TIMEOUT):
        said = target.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"{process.args!r} failed:\n{said[-2000:]}")


def _has_native_bf16() -> bool:
    info = Path("/proc/cpuinfo")
    return info.exists() and bool(NATIVE_BF16 & {*info.read_text(encoding="utf-8").split()})
