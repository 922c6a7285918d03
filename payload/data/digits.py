"""Built-in real data: 1,797 handwritten digits, in MNIST's shape.

They are the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak,
UCI Machine Learning Repository, 1998, doi:10.24432/C50P49), under the licence CC BY 4.0, with the
pixels of scikit-learn's `load_digits`. `digits.npz` has `images`, uint8 [1797, 8, 8] of 0 to 16,
and `labels`, uint8 [1797].
"""

from __future__ import annotations

import hashlib
import io
from importlib import resources
from typing import Any

import numpy as np

TRAINING_IMAGES = 1500
SIDE = 8
_SPLIT_SEED = 0

Split = tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.int32]]]


def load(size: int = 28, channels: int = 1) -> tuple[Split, Split, str]:
    """Return training part, test part and the SHA-256 of the arrays they were cut from.

    The digits are ordered by writer, so they are shuffled (always alike) before they are split.
    Their 8x8 pixels become 0 to 255 and are repeated as often as `size` has room for, in each
    channel, with zeros around: 24x24 in 28x28, as MNIST's are.

    Args:
        size: Height and width of the images, at least 8.
        channels: 1, or more that are all alike.
    """
    # Not by its path: the package may be inside a zip file.
    stored = np.load(
        io.BytesIO(resources.files("payload.data").joinpath("digits.npz").read_bytes())
    )
    small = np.minimum(stored["images"] * np.int64(16), 255).astype(np.uint8)
    times, left = divmod(size, SIDE)
    sides = (left // 2, left - left // 2)
    large = np.pad(small.repeat(times, axis=1).repeat(times, axis=2), ((0, 0), sides, sides))
    large = large[..., None].repeat(channels, axis=3)
    labels = stored["labels"].astype(np.int32)
    digest = hashlib.sha256(large.tobytes() + labels.tobytes()).hexdigest()
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(labels))
    train, test = order[:TRAINING_IMAGES], order[TRAINING_IMAGES:]
    return (large[train], labels[train]), (large[test], labels[test]), digest
