"""TensorFlow, JAX and PyTorch on the same seed and data, each in processes of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from payload.settings import ENGINES, PRECISIONS

pytestmark = [pytest.mark.engines, pytest.mark.timeout(1800)]

CHILD = Path(__file__).with_name("child.py")
CHECKOUT = Path(__file__).parents[3]
PUBLISHED = json.loads((CHECKOUT / "tests/data/payload/models.json").read_text())
DIGITS = {"model": "mnist", "batch_size": 32, "data": "digits"}
SMALL_VGG = {
    "model": "vgg11", "batch_size": 16, "image_size": 32, "channels": 3, "learning_rate": 3e-5
}  # fmt: skip
"""A rate at which the loss falls by a fifth in ten steps. At the usual one it falls and leaps, and
what rounding does grows with it, to 0.8 %."""

Checked = Callable[[Path], dict[str, Any]]


def told(engine: str, task: str, **settings: object) -> Any:
    return _told(engine, task, json.dumps(settings))


@cache
def _told(engine: str, task: str, settings: str) -> Any:
    command = [sys.executable, str(CHILD), engine, task, settings]
    done = subprocess.run(command, check=False, cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def payload(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "payload", *arguments]
    return subprocess.run(command, check=False, cwd=CHECKOUT, capture_output=True, text=True)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("engine", ["jax", "torch"])
def test_the_first_losses_are_those_of_tensorflow(engine: str, precision: str) -> None:
    expected = told("tensorflow", "losses", **DIGITS, precision=precision)["losses"]
    found = told(engine, "losses", **DIGITS, precision=precision)["losses"]
    # bfloat16 has 8 bits of mantissa; sums of other order part slowly, step by step.
    close = {"fp32": 1e-3, "mixed_fp16": 5e-3, "mixed_bf16": 2e-2}[precision]
    assert found == pytest.approx(expected, rel=close)
    assert found[0] == pytest.approx(expected[0], rel=close / 100)
    assert found[-1] < 0.7 * found[0]


@pytest.mark.parametrize("engine", ["jax", "torch"])
def test_vgg_has_the_same_losses_too(engine: str) -> None:
    expected = told("tensorflow", "losses", **SMALL_VGG)["losses"]
    assert told(engine, "losses", **SMALL_VGG)["losses"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("engine", ["tensorflow", "jax"])
def test_two_devices_with_half_the_batch_have_the_losses_of_one(engine: str) -> None:
    alone = told("tensorflow", "losses", **DIGITS, precision="fp32")["losses"]
    halves = DIGITS | {"batch_size": 16, "devices": 2}
    assert told(engine, "losses", **halves)["losses"] == pytest.approx(alone, rel=1e-3)


@pytest.mark.parametrize("engine", ["jax", "torch"])
def test_nothing_of_tensorflow_is_imported_where_it_is_installed(engine: str) -> None:
    imported = told(engine, "losses", **DIGITS, precision="fp32")["imported"]
    assert engine in imported
    assert "tensorflow" not in imported


@pytest.mark.parametrize("engine", ENGINES)
def test_a_seed_gives_the_same_losses_to_the_last_bit(engine: str) -> None:
    settings: dict[str, Any] = DIGITS | {"deterministic": True, "seed": 3}
    found = told(engine, "again", **settings)
    assert found["again"] == found["first"]
    assert 0 < found["accuracy"] < 1
    other_process = told(engine, "again", **settings, threads=0)
    assert other_process["first"] == found["first"]
    assert told(engine, "again", **settings | {"seed": 4})["first"] != found["first"]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_precision_learns_with_dropout(engine: str, precision: str) -> None:
    found = told(engine, "learnt", **DIGITS, precision=precision)
    assert found["last"] < found["first"] / 2


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda case: case["model"])
@pytest.mark.parametrize("engine", ["jax", "torch"])
def test_a_model_is_the_same_in_every_engine(engine: str, published: dict[str, Any]) -> None:
    found = told(engine, "counts", model="mnist", batch_size=1)[published["model"]]
    assert found["parameters"] == published["parameters"]
    assert found["forward"] / 2e9 == pytest.approx(published["forward_gmac"], rel=1e-3)


@pytest.mark.parametrize("engine", ["jax", "torch"])
def test_digits_are_learnt_within_ten_epochs(engine: str, tmp_path: Path, checked: Checked) -> None:
    target = tmp_path / "result.json"
    arguments = ["--model", "mnist", "--data", "digits", "--steps", "5", "--epochs", "10"]
    arguments += ["--target-accuracy", "0.97", "--engine", engine, "--output", str(target)]
    done = payload(*arguments)
    assert done.returncode == 0, done.stderr
    document = checked(target)
    assert document["engine"] == engine
    assert document["environment"]["framework"][engine]
    assert document["training"]["accuracy"] >= 0.97
    assert document["training"]["time_to_accuracy_seconds"] > 0


@pytest.mark.parametrize("engine", ["jax", "torch"])
def test_the_self_test_passes(engine: str, tmp_path: Path) -> None:
    target = tmp_path / "test.json"
    done = payload("--self-test", "--engine", engine, "--output", str(target))
    assert done.returncode == 0, done.stderr
    document = json.loads(target.read_text())
    assert (document["engine"], document["passed"]) == (engine, True)
    assert document["losses"] == pytest.approx(document["stored_losses"], rel=document["tolerance"])
    assert document["accuracies"][-1] > document["accuracy_wanted"]


@pytest.mark.parametrize("engine", ["jax", "torch"])
def test_fault_37_out_of_memory_is_classified(
    engine: str, tmp_path: Path, checked: Checked
) -> None:
    target = tmp_path / "result.json"
    arguments = ["--model", "mnist", "--batch-size", "20000000", "--engine", engine]
    assert payload(*arguments, "--steps", "3", "--output", str(target)).returncode == 1
    document = checked(target)
    (reason,) = document["reasons"]
    assert reason.startswith("out-of-memory: ")
    assert document["batch_size"] == 20_000_000


@pytest.mark.parametrize("engine", ["jax", "torch"])
def test_fault_38_a_loss_that_is_no_number_stops_the_run(
    engine: str, tmp_path: Path, checked: Checked
) -> None:
    target = tmp_path / "result.json"
    arguments = ["--model", "vgg11", "--image-size", "32", "--batch-size", "2", "--engine", engine]
    assert payload(*arguments, "--learning-rate", "1e9", "--output", str(target)).returncode == 1
    document = checked(target)
    (reason,) = document["reasons"]
    assert reason.startswith("diverged: the loss became ")
    assert document["training"]["loss_last"] is None
