"""Faults 37, 38, 40 and 41: what the payload does when a run can't give an honest figure."""

import gzip
import hashlib
import json
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from payload.cli import main

MNIST_NAMES = {
    "train-images-idx3-ubyte": (60, 28, 28),
    "train-labels-idx1-ubyte": (60,),
    "t10k-images-idx3-ubyte": (20, 28, 28),
    "t10k-labels-idx1-ubyte": (20,),
}


DIVERGING = (
    "--model",
    "vgg11",
    "--image-size",
    "32",
    "--batch-size",
    "2",
    "--learning-rate",
    "1e9",
)


def failed(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """Run the payload, which must fail, and return its document; the last --model counts."""
    target = tmp_path / "result.json"
    assert main(["--model", "mnist", "--output", str(target), *arguments]) == 1
    document: dict[str, Any] = json.loads(target.read_text())
    assert document["valid"] is False
    assert document["stopped_by"] == "error"
    return document


@pytest.fixture
def look_alike(tmp_path: Path) -> Path:
    """A folder with MNIST's names and format and another content, as Fashion-MNIST is."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name, shape in MNIST_NAMES.items():
        head = struct.pack(">HBB", 0, 8, len(shape)) + struct.pack(f">{len(shape)}I", *shape)
        body = np.zeros(shape, np.uint8).tobytes()
        (folder / f"{name}.gz").write_bytes(gzip.compress(head + body, mtime=0))
    return folder


def listed(folder: Path) -> str:
    sums = folder.parent / "SHA256SUMS"
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}" for p in folder.iterdir()]
    sums.write_text("\n".join(lines) + "\n")
    return str(sums)


def test_fault_37_out_of_memory_is_classified_and_no_smaller_batch_is_used(tmp_path: Path) -> None:
    document = failed(tmp_path, "--batch-size", "1000000000000")
    (reason,) = document["reasons"]
    assert reason.startswith("out-of-memory: ")
    assert document["batch_size"] == 1_000_000_000_000
    assert document["throughput"]["steps"] == []
    assert document["environment"]["framework"] is not None


def test_fault_38_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    document = failed(tmp_path, *DIVERGING)
    (reason,) = document["reasons"]
    assert reason.startswith("diverged: the loss became ")
    assert document["training"]["loss_last"] is None
    assert document["throughput"]["first_step_seconds"] > 0


def test_fault_40_a_killed_writer_leaves_no_partial_document(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    code = (
        "import sys; from pathlib import Path; from payload import output\n"
        "while True:\n"
        "    print(flush=True)\n"
        "    text = output.to_text({'steps': [0.5] * 200_000, 'last': True})\n"
        "    output.write_atomically(Path(sys.argv[1]), text)\n"
    )
    for writes in range(1, 5):
        command = [sys.executable, "-c", code, str(target)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(writes):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        if target.exists():
            assert json.loads(target.read_text())["last"] is True
    assert target.exists()


def test_fault_41_missing_data_is_an_error(tmp_path: Path) -> None:
    document = failed(tmp_path, "--data", str(tmp_path / "absent"))
    assert document["reasons"] == [f"data: {tmp_path}/absent: no such file or folder"]
    assert document["data"]["source"] is None
    assert document["throughput"]["median"] is None


def test_fault_41_another_data_set_of_the_same_names_is_an_error(
    tmp_path: Path, look_alike: Path
) -> None:
    (reason,) = failed(tmp_path, "--data", str(look_alike))["reasons"]
    assert "train-images-idx3-ubyte.gz: SHA-256 is " in reason
    assert "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609" in reason


@pytest.mark.parametrize("kept", [3, 10, 30])
def test_fault_41_a_truncated_archive_is_an_error(
    tmp_path: Path, look_alike: Path, kept: int
) -> None:
    images = look_alike / "train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:kept])
    (reason,) = failed(tmp_path, "--data", str(look_alike), "--checksums", listed(look_alike))[
        "reasons"
    ]
    assert "truncated or not gzip" in reason


def test_fault_41_a_truncated_file_is_an_error(tmp_path: Path, look_alike: Path) -> None:
    labels = look_alike / "train-labels-idx1-ubyte.gz"
    whole = gzip.decompress(labels.read_bytes())
    labels.write_bytes(gzip.compress(whole[:-1]))
    (reason,) = failed(tmp_path, "--data", str(look_alike), "--checksums", listed(look_alike))[
        "reasons"
    ]
    assert "59 bytes of data, but its header says 60" in reason


def test_fault_41_a_file_that_the_list_does_not_name_is_an_error(
    tmp_path: Path, look_alike: Path
) -> None:
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{'0' * 64}  another\n")
    (reason,) = failed(tmp_path, "--data", str(look_alike), "--checksums", str(sums))["reasons"]
    assert "no checksum is known for this file" in reason
