"""Every model learns digits in every precision. Slow: make trainings."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from payload.cli import main
from payload.machine.environment import Observer
from payload.settings import MODELS, PRECISIONS

pytestmark = [pytest.mark.trainings, pytest.mark.timeout(1800)]

SMALL = ["--image-size", "32", "--classes", "10", "--batch-size", "32"]

Checked = Callable[[Path], dict[str, Any]]


def native_bfloat16() -> bool:
    return any(flag.endswith("bf16") for flag in Observer().describe()["cpu"]["flags"])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", MODELS)
def test_digits_are_learnt_within_ten_epochs(
    tmp_path: Path, checked: Checked, model: str, precision: str
) -> None:
    target = tmp_path / "result.json"
    arguments = ["--model", model, "--precision", precision, "--data", "digits", "--steps", "3"]
    arguments += ["--ceilings", "off", "--epochs", "10", "--target-accuracy", "0.97"]
    arguments += [] if model == "mnist" else SMALL
    assert main([*arguments, "--output", str(target)]) == 0
    document = checked(target)
    assert document["training"]["time_to_accuracy_seconds"] is not None
    computed = "fp32" if precision == "mixed_bf16" and not native_bfloat16() else precision
    assert document["precision"] == computed
    assert document["asked"]["precision"] == precision


def test_the_faster_of_xla_and_no_xla_is_used_and_both_figures_are_kept(
    tmp_path: Path, checked: Checked
) -> None:
    target = tmp_path / "result.json"
    arguments = ["--model", "mnist", "--xla", "auto", "--ceilings", "off", "--steps", "5"]
    assert main([*arguments, "--output", str(target)]) == 0
    found = checked(target)["xla"]
    speeds = {trial["xla"]: trial["images_per_second"] for trial in found["trials"]}
    assert found["used"] is (speeds[True] > speeds[False])


def test_several_batch_sizes_have_a_document_each(tmp_path: Path, checked: Checked) -> None:
    arguments = ["--model", "mnist", "--batch-size", "8,16", "--steps", "5", "--ceilings", "off"]
    assert main([*arguments, "--output", str(tmp_path / "b{batch}.json")]) == 0
    sizes = {path.name: checked(path)["batch_size"] for path in tmp_path.glob("*.json")}
    assert sizes == {"b8.json": 8, "b16.json": 16}


def test_the_largest_batch_that_fits_is_found_and_measured(
    tmp_path: Path, checked: Checked
) -> None:
    target = tmp_path / "result.json"
    arguments = ["--model", "mnist", "--batch-size", "max", "--steps", "3", "--ceilings", "off"]
    done = limited(1_500_000, *arguments, "--output", str(target))
    assert done.returncode == 0, done.stderr
    document = checked(target)
    tries = document["batch_size_search"]["tries"]
    fitting = [tried["batch_size"] for tried in tries if tried["outcome"] == "fits"]
    assert document["batch_size"] == max(fitting) > 64
    assert document["asked"]["batch_size"] == "max"
    assert "out-of-memory" in {tried["outcome"] for tried in tries}
    assert document["environment"]["framework"]["memory_limit_bytes"] == 1_500_000 * 1024


def test_fault_37_a_batch_that_memory_has_no_room_for_is_an_error_and_no_killed_process(
    tmp_path: Path, checked: Checked
) -> None:
    target = tmp_path / "result.json"
    arguments = ["--model", "mnist", "--batch-size", "8192", "--ceilings", "off"]
    done = limited(1_500_000, *arguments, "--output", str(target))
    assert done.returncode == 1
    (reason,) = checked(target)["reasons"]
    assert reason.startswith("out-of-memory: ")


def limited(kibibytes: int, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the payload with a limit on its memory, lower than the one that it sets itself."""
    shell = ["sh", "-c", f'ulimit -d {kibibytes}; exec "$@"', "sh"]
    command = [*shell, sys.executable, "-m", "payload", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)
