"""The command line: usage, exit codes and the document."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from payload.cli import main
from payload.options import parse

USAGE = json.loads((Path(__file__).parents[1] / "data/payload/usage.json").read_text())

Checked = Callable[[Path], dict[str, Any]]


@pytest.mark.parametrize("case", USAGE, ids=lambda case: " ".join(case["arguments"]) or "nothing")
def test_wrong_usage_exits_with_2_and_says_why(
    case: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(case["arguments"])
    assert stopped.value.code == 2
    assert case["says"] in capsys.readouterr().err


def test_an_output_that_is_a_folder_is_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--model", "mnist", "--output", str(tmp_path)])
    assert stopped.value.code == 2


def test_a_model_brings_its_defaults() -> None:
    _, mnist = parse(["--model", "mnist"])
    assert (mnist.image_shape, mnist.classes, mnist.batch_size) == ((28, 28, 1), 10, 64)
    _, vgg = parse(["--model", "vgg16", "--steps", "5"])
    assert (vgg.image_shape, vgg.classes, vgg.batch_size) == ((224, 224, 3), 1000, 32)
    assert (mnist.time_limit, vgg.time_limit) == (60.0, None)


def test_help_and_usage_errors_wait_for_no_framework() -> None:
    code = (
        "import sys, payload.cli; print(sorted({'tensorflow', 'keras', 'numpy'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_a_run_writes_a_valid_document(
    tmp_path: Path, checked: Checked, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "result.json"
    assert (
        main(["--model", "mnist", "--batch-size", "8", "--steps", "12", "--output", str(target)])
        == 0
    )
    document = checked(target)
    assert document["valid"]
    assert document["stopped_by"] == "steps"
    assert document["parameters"] == 3_274_634
    assert document["throughput"]["timed_steps"] == 12
    figures = document["throughput"]
    assert figures["low"] <= figures["median"] <= figures["high"]
    assert figures["median"] == pytest.approx(8 / figures["step_seconds"]["median"])
    assert document["data"] | {"examples": 32, "source": "synthetic"} == document["data"]
    assert document["environment"]["framework"]["tensorflow"]
    ceilings = document["ceilings"]
    assert ceilings["matmul"]["per_second"] > 1e9
    assert ceilings["of_convolution"] == pytest.approx(
        figures["median"]
        * document["flops_per_image"]["training"]
        / ceilings["convolution"]["per_second"]
    )
    assert ceilings["host_to_device"] is None
    assert document["telemetry"]["cpu"]["own_percent"] > 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "timed: " in printed.err


def test_standard_output_holds_the_document_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--model", "mnist", "--batch-size", "8", "--steps", "3", "--ceilings", "off"]
    assert main([*arguments, "--output", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "vdl-result"


def test_digits_are_learnt_and_the_time_to_accuracy_is_told(
    tmp_path: Path, checked: Checked
) -> None:
    target = tmp_path / "result.json"
    arguments = [
        "--model",
        "mnist",
        "--ceilings",
        "off",
        "--data",
        "digits",
        "--batch-size",
        "32",
        "--steps",
        "5",
        "--epochs",
        "8",
    ]
    assert main([*arguments, "--target-accuracy", "0.95", "--output", str(target)]) == 0
    document = checked(target)
    training = document["training"]
    assert training["accuracy"] > 0.95
    assert training["time_to_accuracy_seconds"] == pytest.approx(
        sum(epoch["seconds"] for epoch in training["epochs"])
    )
    assert document["data"]["test_examples"] == 297


def test_own_files_are_trained_on(
    tmp_path: Path,
    checked: Checked,
    idx_folder: Callable[..., Path],
    write_checksums: Callable[[Path], Path],
) -> None:
    folder, target = idx_folder(packed=True), tmp_path / "result.json"
    arguments = ["--model", "mnist", "--batch-size", "8", "--steps", "3", "--ceilings", "off"]
    arguments += ["--output", str(target)]
    sums = str(write_checksums(folder))
    assert main([*arguments, "--data", str(folder), "--checksums", sums]) == 0
    found = checked(target)["data"]
    assert found["source"] == "files"
    assert found["path"] == str(folder)
    assert len(found["sha256"]) == 4


def test_colour_images_of_ones_own_train_vgg(
    tmp_path: Path, checked: Checked, write_checksums: Callable[[Path], Path]
) -> None:
    folder, target = tmp_path / "data", tmp_path / "result.json"
    folder.mkdir()
    images, labels = np.full((6, 32, 32, 3), 100, np.uint8), np.arange(6)
    np.savez(folder / "own.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    arguments = [
        "--model",
        "vgg11",
        "--ceilings",
        "off",
        "--batch-size",
        "2",
        "--steps",
        "3",
        "--image-size",
        "32",
        "--classes",
        "6",
    ]
    arguments += ["--data", str(folder / "own.npz"), "--checksums", str(write_checksums(folder))]
    assert main([*arguments, "--output", str(target)]) == 0
    assert checked(target)["image_shape"] == [32, 32, 3]


def test_sigterm_ends_the_run_with_what_was_measured(tmp_path: Path, checked: Checked) -> None:
    target = tmp_path / "result.json"
    command = [sys.executable, "-m", "payload", "--model", "mnist", "--batch-size", "8"]
    command += ["--steps", "1000000", "--output", str(target)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if line.startswith("timed: "):
                break
        run.send_signal(signal.SIGTERM)
        rest = run.stderr.read()
    assert run.returncode == 1
    assert "interrupted: stopped by SIGTERM" in rest
    document = checked(target)
    assert document["stopped_by"] == "interrupt"
    assert not document["valid"]
    assert len(document["throughput"]["steps"]) > 0


def test_a_python_without_tensorflow_writes_a_document_too(
    tmp_path: Path, checked: Checked
) -> None:
    target, without_packages = tmp_path / "result.json", "-S"
    command = [sys.executable, without_packages, "-m", "payload", "--model", "mnist"]
    checkout = Path(__file__).parents[2]
    done = subprocess.run([*command, "--output", str(target)], check=False, cwd=checkout)
    assert done.returncode == 1
    document = checked(target)
    assert document["reasons"][0].startswith(
        "engine-missing: the engine tensorflow can't be loaded"
    )
    assert document["environment"]["framework"] is None


def test_ceilings_are_measured_alone_where_only_they_are_asked_for(
    tmp_path: Path, checked: Checked, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "result.json"
    arguments = ["--model", "mnist", "--ceilings", "only", "--time-limit", "2"]
    assert main([*arguments, "--output", str(target)]) == 0
    document = checked(target)
    assert document["valid"]
    assert document["stopped_by"] == "ceilings"
    assert document["throughput"]["median"] is None
    assert document["ceilings"]["memory"]["per_second"] > 1e8
    assert "of_matmul" not in document["ceilings"]
    assert "matmul: " in capsys.readouterr().err
