"""The payload by itself: what it lists, how it tests itself, and as one file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets

from payload import selftest
from payload.cli import main
from payload.data import digits
from payload.settings import ENGINES, MODELS, PRECISIONS
from provision.guests.zipapp import write_zipapp, zipapp


def test_the_digits_that_come_along_are_scikit_learns() -> None:
    (train, _), (test, _), _ = digits.load()
    pixels, labels = datasets.load_digits(return_X_y=True)
    ours = np.concatenate([train, test])[:, 2:-2:3, 2:-2:3, 0]
    wanted = np.minimum(pixels.reshape(-1, 8, 8) * 16, 255)
    assert sorted(map(bytes, ours)) == sorted(map(bytes, wanted.astype(np.uint8)))
    assert len(labels) == len(ours)


def test_the_list_names_what_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in (*MODELS, *PRECISIONS, *ENGINES, "digits"))
    assert "tensorflow 2." in printed
    assert "torch (missing)" in printed


@pytest.mark.slow
def test_the_self_test_passes_as_one_file_elsewhere(tmp_path: Path) -> None:
    program = tmp_path / "payload.pyz"
    write_zipapp(program)
    done = subprocess.run(
        [sys.executable, program, "--self-test"], cwd=tmp_path, env={"PATH": os.environ["PATH"]},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["passed"]
    assert document["accuracies"][-1] > 0.95
    assert document["losses"] == pytest.approx(document["stored_losses"], rel=0.02)


def test_the_self_test_fails_where_losses_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shifted = {"tensorflow": (2.29568, 2.5)}
    monkeypatch.setattr(selftest, "FIRST_LOSSES", shifted)
    monkeypatch.setattr(selftest, "EPOCHS", 1)
    target = tmp_path / "test.json"
    assert main(["--self-test", "--output", str(target)]) == 1
    losses, accuracy = json.loads(target.read_text())["reasons"]
    assert losses.startswith("losses: step 2 has 2.387")
    assert accuracy.startswith("accuracy: ")


def test_the_self_test_says_that_an_engine_is_missing(tmp_path: Path) -> None:
    target = tmp_path / "test.json"
    assert main(["--self-test", "--engine", "torch", "--output", str(target)]) == 1
    (reason,) = json.loads(target.read_text())["reasons"]
    assert reason.startswith("engine-missing: the engine torch can't be loaded")


def test_the_file_is_the_same_each_time_and_runs(tmp_path: Path) -> None:
    assert zipapp() == zipapp()
    program = tmp_path / "payload.pyz"
    write_zipapp(program)
    done = subprocess.run([program, "--list"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[0]) == (0, "models"), done.stderr
