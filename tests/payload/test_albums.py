"""Image folders and TFRecord files."""

import gzip
import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from payload.cli import main
from payload.data import dataset as data
from payload.data import example, pictures, tfrecord
from payload.errors import DataUnusable
from payload.settings import Settings
from tests.payload import records


def encoded(color: tuple[int, int, int], size: tuple[int, int], kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, kind)
    return file.getvalue()


RED, BLUE = encoded((250, 0, 0), (80, 40)), encoded((0, 0, 250), (40, 50), "PNG")


def vgg(folder: Path, **changes: Any) -> Settings:
    given = {"model": "vgg11", "batch_size": 2, "data": str(folder), "image_size": 32}
    return Settings(**(given | {"channels": 3, "classes": 5} | changes))


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Two classes, with three training images and two for the test."""
    for path, content in {
        "train/ant/1.jpg": RED,
        "train/ant/2.JPEG": RED,
        "train/bee/1.png": BLUE,
        "train/bee/notes.txt": b"not an image",
        "val/ant/9.jpg": RED,
        "val/bee/9.png": BLUE,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    return tmp_path


def test_a_folder_of_images_is_read(album: Path) -> None:
    found = data.load(vgg(album))
    assert found.describe() | {"sha256": {}} == {
        "source": "images",
        "path": str(album),
        "examples": 3,
        "test_examples": 2,
        "sha256": {},
        "classes": 2,
        "resize": "centre square of 7/8 of the shorter side, bilinear",
    }
    images, labels = found.train.take(np.arange(3))
    assert images.shape == (3, 32, 32, 3)
    assert images.dtype == np.uint8
    assert labels.tolist() == [0, 0, 1]
    np.testing.assert_allclose(images[0].mean(axis=(0, 1)), (250, 0, 0), atol=6)
    np.testing.assert_allclose(images[2].mean(axis=(0, 1)), (0, 0, 250), atol=1)


def test_a_folder_without_parts_has_training_images_only(album: Path) -> None:
    found = data.load(vgg(album / "train"))
    assert len(found.train) == 3
    assert found.test is None
    with pytest.raises(DataUnusable, match="holds no test images, which --epochs needs"):
        data.load(vgg(album / "train", epochs=1))


def test_grey_images_are_made_for_a_model_of_one_channel(album: Path) -> None:
    images, _ = data.load(vgg(album, model="mnist", channels=1, image_size=28)).train.take(
        np.arange(2)
    )
    assert images.shape == (2, 28, 28, 1)


def test_the_file_list_tells_folders_apart(album: Path) -> None:
    before = data.load(vgg(album)).sha256["file list"]
    assert data.load(vgg(album)).sha256["file list"] == before
    (album / "train/bee/2.jpg").write_bytes(RED)
    assert data.load(vgg(album)).sha256["file list"] != before


def listed(album: Path, target: Path) -> Path:
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  ./{path.relative_to(album)}\n"
        for path in sorted(album.rglob("*.*"))
    ]
    target.write_text("".join(lines))
    return target


def test_images_are_held_against_a_list_when_they_are_read(
    album: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sums = listed(album, tmp_path_factory.mktemp("sums") / "SHA256SUMS")
    found = data.load(vgg(album, checksums=sums))
    found.train.take(np.arange(3))
    (album / "train/ant/2.JPEG").write_bytes(BLUE)
    with pytest.raises(DataUnusable, match=r"2\.JPEG: SHA-256 is .*, expected"):
        found.train.take(np.arange(3))
    (album / "train/ant/3.jpg").write_bytes(RED)
    with pytest.raises(DataUnusable, match=r"train/ant/3\.jpg is not in the list"):
        data.load(vgg(album, checksums=sums)).train.take(np.asarray([2]))


@pytest.mark.parametrize(
    ("content", "kept"), [(RED, len(RED) // 2), (BLUE, len(BLUE) // 2), (RED, 0), (b"GIF89a", 6)]
)
def test_fault_41_a_damaged_image_is_named(album: Path, content: bytes, kept: int) -> None:
    (album / "train/ant/1.jpg").write_bytes(content[:kept])
    found = data.load(vgg(album))
    with pytest.raises(DataUnusable, match=r"ant/1\.jpg: not a whole JPEG or PNG image"):
        found.train.take(np.arange(3))


def test_fault_41_an_image_that_is_gone_is_named(album: Path) -> None:
    found = data.load(vgg(album))
    (album / "train/ant/1.jpg").unlink()
    with pytest.raises(DataUnusable, match=r"ant/1\.jpg: can't be read"):
        found.train.take(np.arange(3))


@pytest.mark.parametrize(
    ("remove", "add", "changes", "says"),
    [
        ("train/bee/1.png", None, {}, "train/bee: holds no JPEG or PNG image"),
        (None, "val/cat/1.jpg", {}, "val/cat: there is no such class"),
        (None, None, {"classes": 1}, "holds 2 classes, but the model was asked for with 1"),
        (None, None, {"batch_size": 4}, "3 training images do not fill a batch of 4"),
    ],
)
def test_fault_41_a_folder_that_does_not_fit_is_refused(
    album: Path, remove: str | None, add: str | None, changes: dict[str, Any], says: str
) -> None:
    if remove is not None:
        (album / remove).unlink()
    if add is not None:
        (album / add).parent.mkdir(parents=True)
        (album / add).write_bytes(RED)
    with pytest.raises(DataUnusable, match=says):
        data.load(vgg(album, **changes))


def test_the_centre_of_an_image_is_taken() -> None:
    wide = Image.new("RGB", (400, 100), (0, 0, 0))
    wide.paste((255, 255, 255), (150, 0, 250, 100))
    file = io.BytesIO()
    wide.save(file, "PNG")
    found = pictures.decode(file.getvalue(), "wide", size=50, channels=3)
    assert found.min() == 255


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataUnusable, match="bomb: not a whole"):
        pictures.decode(RED, "bomb", size=8, channels=3)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two shards of training records and one of test records, as ImageNet's are called."""
    red, blue = records.picture(RED, 1), records.picture(BLUE, 4)
    records.write(tmp_path / "train-00000-of-00002", [red, blue])
    records.write(tmp_path / "train-00001-of-00002", [blue])
    records.write(tmp_path / "validation-00000-of-00001", [red])
    return tmp_path


def test_tfrecord_files_are_read(shards: Path) -> None:
    found = data.load(vgg(shards))
    described = found.describe()
    assert described["source"] == "tfrecord"
    assert (described["examples"], described["test_examples"]) == (3, 1)
    images, labels = found.train.take(np.asarray([2, 0]))
    assert labels.tolist() == [4, 1]
    np.testing.assert_allclose(images[1].mean(axis=(0, 1)), (250, 0, 0), atol=6)


def test_one_tfrecord_file_is_enough(tmp_path: Path) -> None:
    path = records.write(tmp_path / "few.tfrecord", [records.picture(RED, 0)] * 2)
    assert len(data.load(vgg(path)).train) == 2


def test_tfrecord_files_are_held_against_a_list(shards: Path, tmp_path: Path) -> None:
    sums = listed_files(shards, tmp_path / "SHA256SUMS")
    assert len(data.load(vgg(shards, checksums=sums)).sha256) == 3
    records.write(shards / "train-00001-of-00002", [records.picture(RED, 1)])
    with pytest.raises(DataUnusable, match="train-00001-of-00002: SHA-256 is"):
        data.load(vgg(shards, checksums=sums))


def listed_files(folder: Path, target: Path) -> Path:
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
    ]
    target.write_text("".join(lines))
    return target


def damage(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("kept", "says"),
    [
        (5, "record 1: truncated in its header"),
        (60, "record 1: truncated: ends at byte"),
        (-3, "record 2: truncated"),
    ],
)
def test_fault_41_a_truncated_tfrecord_file_is_named(shards: Path, kept: int, says: str) -> None:
    path = shards / "train-00000-of-00002"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataUnusable, match=f"train-00000-of-00002, {says}"):
        data.load(vgg(shards))


def test_fault_41_a_damaged_header_or_record_is_named(shards: Path) -> None:
    path = shards / "train-00000-of-00002"
    damage(path, 30)
    with pytest.raises(DataUnusable, match="record 1: its checksum is wrong"):
        data.load(vgg(shards)).train.take(np.asarray([0]))
    damage(path, 3)
    with pytest.raises(DataUnusable, match="record 1: its header's checksum is wrong"):
        data.load(vgg(shards))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (records.picture(RED, 5), "record 1: its label 5 lies outside 0 to 4; give --classes"),
        (records.picture(RED, -1), "label -1 lies outside"),
        (records.picture(b"GIF89a", 1), "record 1: not a whole JPEG or PNG"),
        (records.example(image__class__label=records.integer_feature(1)), "has no image/encoded"),
        (records.example(image__encoded=records.bytes_feature(RED)), "has no image/class/label"),
        (b"\x0a\xff", "no tf.train.Example"),
    ],
)
def test_fault_41_a_record_of_another_content_is_named(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = records.write(tmp_path / "few.tfrecord", [content] * 2)
    found = data.load(vgg(path))
    with pytest.raises(DataUnusable, match=says):
        found.train.take(np.asarray([0]))


def test_fault_41_a_compressed_file_says_so(tmp_path: Path) -> None:
    path = records.write(tmp_path / "few.tfrecord", [records.picture(RED, 1)])
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(DataUnusable, match="is compressed; unpack it"):
        data.load(vgg(path))


def test_what_tensorflow_writes_is_read(tmp_path: Path) -> None:
    import tensorflow as tf  # noqa: PLC0415 takes seconds

    feature = {
        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[RED])),
        "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[3, -7])),
        "image/object/bbox": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5])),
    }
    written = tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
    with tf.io.TFRecordWriter(str(tmp_path / "x.tfrecord")) as writer:
        writer.write(written)
        writer.write(b"")
    first, second = tfrecord.index(tmp_path / "x.tfrecord")
    found = example.parse(tfrecord.read(first))
    assert found.texts["image/encoded"] == [RED]
    assert found.integers["image/class/label"] == [3, -7]
    assert tfrecord.read(second) == b""


@given(st.binary(max_size=60))
def test_what_is_no_example_is_refused_or_read_but_never_breaks(content: bytes) -> None:
    try:
        example.parse(content)
    except ValueError:
        return


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5), st.binary(max_size=20))
def test_features_are_read_back(values: list[int], text: bytes) -> None:
    written = records.example(a=records.integer_feature(*values), b=records.bytes_feature(text))
    found = example.parse(written)
    assert found.integers["a"] == values
    assert found.texts["b"] == [text]


def run_on(folder: Path, target: Path, *more: str) -> int:
    arguments = ["--model", "vgg11", "--image-size", "32", "--classes", "5", "--batch-size", "2"]
    arguments += [
        "--ceilings",
        "off",
        "--steps",
        "3",
        "--data",
        str(folder),
        "--output",
        str(target),
        *more,
    ]
    return main(arguments)


def test_a_model_is_trained_on_an_image_folder(
    album: Path, tmp_path: Path, checked: Callable[[Path], dict[str, Any]]
) -> None:
    target = tmp_path / "result.json"
    assert run_on(album, target, "--epochs", "1") == 0
    document = checked(target)
    assert document["data"]["source"] == "images"
    assert document["data"]["classes"] == 2
    assert document["input"]["decode_threads"] >= 1
    assert document["input"]["images_per_second_alone"] > 0
    assert document["training"]["accuracy"] is not None


def test_fault_41_an_image_that_is_damaged_ends_a_run_with_its_name(
    shards: Path, tmp_path: Path, checked: Callable[[Path], dict[str, Any]]
) -> None:
    target = tmp_path / "result.json"
    damage(shards / "train-00000-of-00002", 30)
    assert run_on(shards, target) == 1
    document = checked(target)
    (reason,) = document["reasons"]
    assert reason.startswith("data: ")
    assert "train-00000-of-00002, record 1: its checksum is wrong" in reason
    assert document["data"]["source"] == "tfrecord"
