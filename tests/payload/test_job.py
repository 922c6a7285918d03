"""Two real processes that train one model, and what happens when one of them does not go on."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from payload.cli import main
from payload.data import shares
from payload.settings import Settings
from payload.workers import cluster, scaling
from tests.guests.sshd import free_port

Checked = Callable[[Path], dict[str, Any]]
RUN = ["--model", "mnist", "--batch-size", "16", "--threads", "1", "--ceilings", "off"]
ENDLESS = [*RUN, "--steps", "1000000"]


@contextmanager
def workers(folder: Path, *options: str) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Start two workers of a job; they are killed where they do not end by themselves."""
    port = free_port()
    addresses = f"127.0.0.1:{port},127.0.0.1:{port + 1}"
    started = []
    for rank in (0, 1):
        files = ["--output", str(folder / f"{rank}.json")]
        files += ["--job-output", str(folder / "job.json")] if rank == 0 else []
        with (folder / f"{rank}.log").open("wb") as log:
            words = [sys.executable, "-m", "payload", *options, *files]
            words += ["--workers", addresses, "--rank", str(rank)]
            started.append(subprocess.Popen(words, stderr=log))
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def wait_for_steps(folder: Path) -> None:
    end = time.monotonic() + 120
    while "timed: " not in (folder / "0.log").read_text():
        assert time.monotonic() < end, (folder / "0.log").read_text()
        time.sleep(0.1)


@pytest.mark.slow
def test_two_workers_train_one_model(tmp_path: Path, checked: Checked) -> None:
    alone = tmp_path / "alone.json"
    # In a process of its own: TensorFlow's threads can't change where other tests have used it.
    words = [sys.executable, "-m", "payload", *RUN, "--steps", "10", "--output", str(alone)]
    subprocess.run(words, check=True)
    with workers(tmp_path, *RUN, "--time-limit", "3", "--alone", str(alone)) as started:
        assert [process.wait(120) for process in started] == [0, 0]
    parts = [checked(tmp_path / f"{rank}.json") for rank in (0, 1)]
    job = json.loads((tmp_path / "job.json").read_text())
    schema = json.loads(scaling.SCHEMA_FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(job)

    # Both ran the same steps by the same clock, on data of their own, to the same weights.
    assert parts[0]["throughput"] == parts[1]["throughput"]
    assert parts[0]["training"]["loss_last"] == parts[1]["training"]["loss_last"]
    assert [part["job"]["rank"] for part in parts] == [0, 1]
    assert len({part["job"]["weights_sha256"] for part in parts}) == 1
    assert job["weights_equal"]
    assert job["valid"]
    assert job["throughput"]["median"] == pytest.approx(2 * parts[0]["throughput"]["median"])
    assert job["scaling"]["alone"] == pytest.approx(
        2 * json.loads(alone.read_text())["throughput"]["median"]
    )
    ideal = job["throughput"]["median"] / job["scaling"]["alone"]
    assert job["scaling"]["efficiency"] == pytest.approx(ideal)
    assert job["network"]["gradient_bytes"] == 4 * 3_274_634
    assert job["throughput"]["median"] < job["network"]["bound_images_per_second"]


@pytest.mark.slow
def test_fault_39_a_worker_that_dies_ends_the_other_with_its_name(
    tmp_path: Path, checked: Checked
) -> None:
    with workers(tmp_path, *ENDLESS) as (first, second):
        wait_for_steps(tmp_path)
        second.kill()
        assert first.wait(20) == 1
    document = checked(tmp_path / "0.json")
    (reason,) = document["reasons"]
    assert reason.startswith("worker-lost: worker 1 (127.0.0.1) was lost: ")
    assert document["throughput"]["timed_steps"] > 0  # what was measured before is kept
    assert not (tmp_path / "job.json").exists()


@pytest.mark.sweep
def test_fault_39_a_step_that_hangs_does_not_outlive_a_signal(
    tmp_path: Path, checked: Checked
) -> None:
    with workers(tmp_path, *ENDLESS) as (first, second):
        wait_for_steps(tmp_path)
        second.send_signal(signal.SIGSTOP)  # worker 0 now waits for gradients that never come
        time.sleep(1)
        first.send_signal(signal.SIGTERM)
        assert first.wait(20) == 1
    document = checked(tmp_path / "0.json")
    assert document["reasons"] == ["interrupted: stopped by SIGTERM in a step that did not end"]
    assert document["throughput"]["timed_steps"] > 0


def test_real_images_are_dealt_out_to_the_workers_once_each() -> None:
    workers = "127.0.0.1:4710,127.0.0.1:4711"
    settings = Settings("mnist", 16, data="digits")
    whole = shares.load(settings)
    dealt = [
        shares.load(replace(settings, cluster=cluster.parse(workers, rank, {}))) for rank in (0, 1)
    ]
    assert [len(part.train) for part in dealt] == [750, 750]
    assert [len(part.test or ()) for part in dealt] == [297, 297]
    for rank, part in enumerate(dealt):
        images, labels = part.train.take(np.array([0, 749]))
        wanted, their_labels = whole.train.take(np.array([rank, 1498 + rank]))
        assert np.array_equal(images, wanted)
        assert np.array_equal(labels, their_labels)


def told(precision: str, weights: str = "aa") -> dict[str, Any]:
    document = {
        "model": "mnist", "engine": "tensorflow", "precision": precision, "reasons": [],
        "image_shape": [28, 28, 1], "data": {}, "started": "", "finished": "", "valid": True,
        "stopped_by": "steps", "parameters": 1_000_000,
        "throughput": {"median": 50.0, "low": 40.0, "high": 60.0, "step_seconds": {}},
    }  # fmt: skip
    return scaling.part("127.0.0.1:4710", document, weights, 80.0)


def test_workers_that_computed_unlike_or_end_unlike_make_the_job_invalid() -> None:
    settings = Settings("mnist", 16, "mixed_bf16")
    good = scaling.combine(settings, [told("fp32")] * 2, 1e9)
    assert (good["valid"], good["scaling"]["efficiency"]) == (True, 100 / 160)
    unlike = scaling.combine(settings, [told("fp32"), told("mixed_bf16")], 1e9)
    assert unlike["reasons"] == ["unlike-workers: not all computed alike: fp32, mixed_bf16"]
    differ = scaling.combine(settings, [told("fp32"), told("fp32", "bb")], 1e9)
    assert differ["reasons"] == ["weights-differ: the workers did not end with the same weights"]


def test_the_network_bound_is_that_of_a_ring() -> None:
    # VGG-16's 553 MB of gradients take two workers 0.44 s at 10 Gbit/s.
    bound = scaling.network(Settings("vgg16", 32), 138_357_544, 2, 1.25e9)
    assert bound["gradient_bytes"] == 553_430_176
    assert bound["bound_step_seconds"] == pytest.approx(0.4427, abs=1e-4)
    assert bound["bound_images_per_second"] == pytest.approx(64 / 0.4427, rel=1e-3)
    four = scaling.network(Settings("vgg16", 32), 138_357_544, 4, 1.25e9)
    assert four["sent_bytes_per_step"] == pytest.approx(1.5 * 553_430_176)


def test_a_speed_alone_of_another_run_is_refused(tmp_path: Path) -> None:
    alone = tmp_path / "alone.json"
    other = {
        "model": "mnist", "engine": "tensorflow", "batch_size": 64, "precision": "fp32",
        "image_shape": [28, 28, 1], "devices": 1, "valid": True, "throughput": {"median": 100.0},
        "asked": {"batch_size": 64, "precision": "fp32"},
    }  # fmt: skip
    alone.write_text(json.dumps(other))
    target = tmp_path / "result.json"
    job = ["--workers", "127.0.0.1:4710,127.0.0.1:4711", "--rank", "0", "--alone", str(alone)]
    assert main([*RUN, *job, "--output", str(target)]) == 1
    (reason,) = json.loads(target.read_text())["reasons"]
    assert reason.endswith("it is of another run: batch_size 64, not 16")
