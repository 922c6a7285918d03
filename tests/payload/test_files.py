"""Reading MNIST's file formats, with small files of the tests' own."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payload.data import checksums, files, idx
from payload.data import dataset as data
from payload.errors import DataUnusable
from payload.settings import Settings

Arrays = list[np.ndarray[Any, np.dtype[np.uint8]]]
WriteIdx = Callable[..., Path]
WriteChecksums = Callable[[Path], Path]

HERE = Path("file")


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.binary(min_size=625, max_size=625))
def test_an_idx_file_is_read_back(shape: list[int], pixels: bytes) -> None:
    content = pixels[: int(np.prod(shape))]
    head = struct.pack(">HBB", 0, 8, len(shape)) + struct.pack(f">{len(shape)}I", *shape)
    found = idx.parse(head + content, HERE)
    assert found.shape == tuple(shape)
    assert found.tobytes() == content


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_what_is_no_idx_file_is_refused_or_has_the_length_it_says(content: bytes) -> None:
    try:
        found = idx.parse(content, HERE)
    except DataUnusable:
        return
    assert found.nbytes + 4 + 4 * found.ndim == len(content)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("below", ["", "MNIST/raw"])
def test_idx_files_are_found_plain_or_packed_also_in_torchvisions_folders(
    idx_folder: WriteIdx,
    write_checksums: WriteChecksums,
    arrays: Arrays,
    packed: bool,  # noqa: FBT001 a table's column
    below: str,
) -> None:
    folder = idx_folder(f"data/{below}", packed=packed)
    found = files.load(folder.parents[1] if below else folder, write_checksums(folder))
    assert found.source == "files"
    assert len(found.sha256) == 4
    np.testing.assert_array_equal(found.train[0][..., 0], arrays[0])
    np.testing.assert_array_equal(found.train[1], arrays[1])
    np.testing.assert_array_equal(found.test[0][..., 0], arrays[2])
    np.testing.assert_array_equal(found.test[1], arrays[3])


@pytest.mark.parametrize("name", ["mnist.npz", "own.npz"])
def test_an_archive_is_read(
    tmp_path: Path, write_checksums: WriteChecksums, arrays: Arrays, name: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    np.savez(
        folder / name, **dict(zip(("x_train", "y_train", "x_test", "y_test"), arrays, strict=True))
    )
    found = files.load(folder / name, write_checksums(folder))
    np.testing.assert_array_equal(found.test[0][..., 0], arrays[2])


def test_a_folder_with_keras_archive_is_enough(
    tmp_path: Path, write_checksums: WriteChecksums, arrays: Arrays
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    np.savez_compressed(
        folder / "mnist.npz",
        x_train=arrays[0],
        y_train=arrays[1],
        x_test=arrays[2],
        y_test=arrays[3],
    )
    assert files.load(folder, write_checksums(folder)).path == str(folder / "mnist.npz")


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"x_train": np.zeros((4, 28, 28), np.float32)}, "float32"),
        ({"y_train": np.zeros(3, np.uint8)}, "one integer for each of 4 images"),
        ({"y_test": np.zeros(4, np.float32)}, "labels are float32"),
        ({"x_test": np.zeros(4, np.uint8)}, "1 dimensions"),
        ({"y_train": np.array([{}, {}, {}, {}], dtype=object)}, "not an npz archive"),  # pickled
    ],
)
def test_an_archive_of_another_content_is_refused(
    tmp_path: Path, write_checksums: WriteChecksums, broken: dict[str, Any], says: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    images, labels = np.zeros((4, 28, 28), np.uint8), np.zeros(4, np.uint8)
    whole = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    np.savez(folder / "own.npz", **(whole | broken))
    with pytest.raises(DataUnusable, match=says):
        files.load(folder / "own.npz", write_checksums(folder))


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_what_is_no_archive_is_refused(
    tmp_path: Path, write_checksums: WriteChecksums, content: bytes
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "own.npz").write_bytes(content)
    with pytest.raises(DataUnusable, match="not an npz archive"):
        files.load(folder / "own.npz", write_checksums(folder))


def test_an_array_alone_is_no_archive(tmp_path: Path, write_checksums: WriteChecksums) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    np.save(folder / "own.npy", np.zeros(3))
    with pytest.raises(DataUnusable, match="does not hold x_train"):
        files.load(folder / "own.npy", write_checksums(folder))


def test_a_missing_file_is_named(idx_folder: WriteIdx, write_checksums: WriteChecksums) -> None:
    folder = idx_folder()
    sums = write_checksums(folder)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataUnusable, match="t10k-labels-idx1-ubyte is missing"):
        files.load(folder, sums)


@pytest.mark.parametrize("line", ["", "abc  file", "g" * 64 + "  file", "a" * 64])
def test_a_list_of_another_format_is_refused(tmp_path: Path, line: str) -> None:
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{'a' * 64}  first\n{line}\n")
    with pytest.raises(DataUnusable, match="line 2"):
        checksums.read_list(sums)


def test_a_list_in_binary_mode_with_folders_is_read(tmp_path: Path) -> None:
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{'A' * 64} *./raw/first\n")
    assert checksums.read_list(sums) == {"first": "a" * 64}
    with pytest.raises(DataUnusable, match="can't be read"):
        checksums.read_list(tmp_path / "absent")


def settings_for(folder: Path, sums: Path, **changes: Any) -> Settings:
    given = {"model": "mnist", "batch_size": 8, "data": str(folder), "checksums": sums}
    return Settings(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"batch_size": 41}, "do not fill a batch of 41"),
        ({"classes": 3}, "labels lie outside 0 to 2"),
        ({"model": "vgg16", "image_size": 224, "channels": 3}, "28x28x1, but vgg16"),
    ],
)
def test_data_that_does_not_fit_the_model_is_refused(
    idx_folder: WriteIdx, write_checksums: WriteChecksums, changes: dict[str, Any], says: str
) -> None:
    folder = idx_folder()
    with pytest.raises(DataUnusable, match=says):
        data.load(settings_for(folder, write_checksums(folder), **changes))


def test_digits_have_mnists_shape_and_are_always_split_alike() -> None:
    first, again = (data.load(Settings("mnist", 64, data="digits")) for _ in range(2))
    assert first.train.images.shape == (1500, 28, 28, 1)
    assert first.test is not None
    assert len(first.test) == 297
    assert first.train.images.max() == 255
    assert first.sha256 == again.sha256
    np.testing.assert_array_equal(first.train.images, again.train.images)


def test_synthetic_data_follows_the_seed() -> None:
    first, again, other = (data.load(Settings("mnist", 8, seed=seed)) for seed in (1, 1, 2))
    assert first.test is None
    np.testing.assert_array_equal(first.train.images, again.train.images)
    assert (first.train.images != other.train.images).any()


def test_a_packed_file_is_preferred_for_its_published_checksum(
    idx_folder: WriteIdx, write_checksums: WriteChecksums
) -> None:
    folder = idx_folder(packed=True)
    plain = folder / "train-images-idx3-ubyte"
    plain.write_bytes(gzip.decompress(plain.with_suffix(".gz").read_bytes()))
    found = files.load(folder, write_checksums(folder))
    assert "train-images-idx3-ubyte.gz" in found.sha256
