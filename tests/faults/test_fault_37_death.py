"""Fault 37: a run whose process dies, of memory or otherwise, leaves its document all the same."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from payload.document import SCHEMA_FILE
from tests.payload.processes import gone

MNIST = ["--model", "mnist", "--ceilings", "off"]
ENDLESS = [*MNIST, "--batch-size", "8", "--steps", "1000000"]
ADDRESSES = 2_000_000
"""KiB. TensorFlow 2.21 loads in 1,500,000, and a batch of 4,096 then found 2,000,000 and 3,000,000
too few: the process followed a null pointer in oneDNN (SIGSEGV), or ended itself (SIGABRT)."""


def checked(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text())).validate(document)
    return document


@contextmanager
def payload(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run the payload; it is killed where it has not ended at the end."""
    words = [sys.executable, "-m", "payload", *arguments]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as run:
        try:
            yield run
        finally:
            run.kill()


def wait_for(run: "subprocess.Popen[str]", words: str, times: int = 1) -> None:
    assert run.stderr is not None
    for line in run.stderr:
        times -= line.startswith(words)
        if not times:
            return
    pytest.fail(f"the payload ended and did not say {words!r} often enough")


def child_of(run: "subprocess.Popen[str]") -> int:
    (child,) = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    return int(child)


@pytest.mark.slow
def test_fault_37_a_limit_on_addresses_gives_a_document_whatever_the_engine_does(
    tmp_path: Path,
) -> None:
    target = tmp_path / "result.json"
    shell = ["sh", "-c", f'ulimit -v {ADDRESSES}; exec "$@"', "sh"]
    words = [sys.executable, "-m", "payload", *MNIST, "--batch-size", "4096", "--steps", "3"]
    done = subprocess.run(
        [*shell, *words, "--output", str(target)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    document = checked(target)
    assert [reason.partition(":")[0] for reason in document["reasons"]] == ["out-of-memory"]
    assert document["batch_size"] == 4096
    assert document["stopped_by"] == "error"
    assert document["environment"]["cpu"]["vcpus"] == os.cpu_count()
    assert document["environment"]["framework"]["tensorflow"]
    assert "out-of-memory: " in done.stderr


@pytest.mark.slow
def test_fault_37_a_killed_run_keeps_what_it_had_measured(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    with payload(*ENDLESS, "--output", str(target)) as run:
        wait_for(run, "timed: ", 2)  # these lines are five seconds apart, as are the notes
        os.kill(child_of(run), signal.SIGKILL)
        assert run.wait(20) == 1
    document = checked(target)
    assert document["reasons"] == ["died: the training process was killed (SIGKILL)"]
    assert document["stopped_by"] == "error"
    figures = document["throughput"]
    assert figures["timed_steps"] > 0
    assert figures["low"] <= figures["median"] <= figures["high"]
    assert document["parameters"] == 3_274_634


def test_fault_37_a_killed_self_test_says_so(tmp_path: Path) -> None:
    target = tmp_path / "test.json"
    with payload("--self-test", "--output", str(target)) as run:
        wait_for(run, "loading the engine")
        os.kill(child_of(run), signal.SIGKILL)
        assert run.wait(20) == 1
    document = json.loads(target.read_text())
    assert document["passed"] is False
    assert document["reasons"] == ["died: the training process was killed (SIGKILL)"]


@pytest.mark.slow
def test_fault_37_one_batch_size_that_dies_does_not_take_the_next_with_it(tmp_path: Path) -> None:
    arguments = [*MNIST, "--batch-size", "8,16", "--steps", "5"]
    with payload(*arguments, "--output", str(tmp_path / "b{batch}.json")) as run:
        wait_for(run, "loading the engine")
        os.kill(child_of(run), signal.SIGKILL)
        assert run.wait(120) == 1
    assert [checked(tmp_path / f"b{size}.json")["valid"] for size in (8, 16)] == [False, True]


@pytest.mark.slow
def test_sigterm_ends_a_list_of_batch_sizes_with_the_documents_so_far(tmp_path: Path) -> None:
    arguments = [*MNIST, "--batch-size", "8,16,24", "--time-limit", "3"]
    with payload(*arguments, "--output", str(tmp_path / "b{batch}.json")) as run:
        wait_for(run, "batch size 16")
        wait_for(run, "timed: ")
        run.send_signal(signal.SIGTERM)
        assert run.wait(30) == 1
    assert checked(tmp_path / "b8.json")["valid"]
    interrupted = checked(tmp_path / "b16.json")
    assert interrupted["reasons"] == ["interrupted: stopped by SIGTERM"]
    assert interrupted["throughput"]["timed_steps"] > 0
    assert not (tmp_path / "b24.json").exists()


@pytest.mark.slow
def test_sigterm_ends_a_search_for_the_largest_batch_with_a_document(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    with payload(*MNIST, "--batch-size", "max", "--output", str(target)) as run:
        wait_for(run, "batch size 64: fits")
        run.send_signal(signal.SIGTERM)
        assert run.wait(30) == 1
    document = checked(target)
    assert document["reasons"] == ["interrupted: stopped by SIGTERM"]
    outcomes = [tried["outcome"] for tried in document["batch_size_search"]["tries"]]
    assert outcomes[0] == "fits"
    assert {*outcomes[1:]} <= {"interrupted"}  # the signal may have come between two tries


def test_a_run_does_not_outlive_the_process_that_was_asked_for_it(tmp_path: Path) -> None:
    with payload(*ENDLESS, "--output", str(tmp_path / "result.json")) as run:
        wait_for(run, "loading the engine")
        child = child_of(run)
        run.kill()
    assert gone(child)
