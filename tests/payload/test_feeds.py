"""Rows of batches, and the thread that prepares them."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from payload.data.dataset import Dataset, Images, Rows
from payload.data.feeds import ResidentFeed, ShuffledFeed, feed
from payload.errors import DataUnusable
from payload.settings import SYNTHETIC


def images(count: int) -> Images:
    labels = np.arange(count, dtype=np.int32)
    return Images(np.repeat(labels.astype(np.uint8), 4).reshape(count, 2, 2, 1), labels)


class Slow(Images):
    """Images that take a moment to read, or can't be read at all."""

    seconds = 0.0
    broken = False

    def take(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        time.sleep(self.seconds)
        if self.broken:
            raise DataUnusable("a.jpg: damaged")
        return super().take(rows)


def slow(seconds: float, *, broken: bool = False) -> Images:
    made = images(8)
    kind = type("Asked", (Slow,), {"seconds": seconds, "broken": broken})
    return kind(made.images, made.labels)


def labels_of(row: ShuffledFeed, batches: int) -> list[list[int]]:
    return [row.next()[1].tolist() for _ in range(batches)]


def test_an_epoch_has_each_image_once_and_the_next_another_order() -> None:
    row = ShuffledFeed(images(8), 4, 0, lambda array: array)
    first, second = labels_of(row, 2), labels_of(row, 2)
    for epoch in (first, second):
        assert sorted(label for batch in epoch for label in batch) == list(range(8))
    assert first != second


def test_images_and_labels_stay_together() -> None:
    pixels, labels = ShuffledFeed(images(8), 4, 0, lambda array: array).next()
    assert pixels[:, 0, 0, 0].tolist() == labels.tolist()


def test_a_restart_and_a_measurement_begin_with_the_first_batch() -> None:
    row = ShuffledFeed(images(9), 4, 7, lambda array: array)
    expected = labels_of(row, 5)
    row.restart()
    assert labels_of(row, 5) == expected
    assert row.images_per_second_alone() > 0
    assert labels_of(row, 5) == expected


def test_waiting_for_data_is_counted() -> None:
    row = ShuffledFeed(slow(0.05), 4, 0, lambda array: array)
    for _ in range(4):
        row.next()
    assert row.waited_seconds > 0.15


def test_data_that_is_prepared_while_others_train_is_not_waited_for() -> None:
    row = ShuffledFeed(slow(0.05), 4, 0, lambda array: array)
    row.next()
    before = row.waited_seconds
    for _ in range(4):
        time.sleep(0.2)
        row.next()
    assert row.waited_seconds - before < 0.1  # of 0.2 that reading took


def test_the_speed_of_the_feed_alone_is_measured() -> None:
    row = ShuffledFeed(slow(0.05), 4, 0, lambda array: array)
    assert 20 < row.images_per_second_alone() <= 4 / 0.05


def test_fault_41_an_error_in_the_thread_reaches_the_reader() -> None:
    row = ShuffledFeed(slow(0, broken=True), 4, 0, lambda array: array)
    with pytest.raises(DataUnusable, match="damaged"):
        row.next()


def test_synthetic_batches_are_placed_once_and_cycled_through() -> None:
    placed: list[int] = []

    def place(array: np.ndarray) -> np.ndarray:
        placed.append(len(array))
        return array

    row = feed(Dataset(SYNTHETIC, images(8)), 4, 0, place)
    assert isinstance(row, ResidentFeed)
    seen: Iterator[list[int]] = (row.next()[1].tolist() for _ in range(4))
    assert list(seen) == [[0, 1, 2, 3], [4, 5, 6, 7]] * 2
    assert placed == [4, 4, 4, 4]
    assert row.images_per_second_alone() is None
