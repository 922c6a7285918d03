"""Built-in real data: scikit-learn's 1,797 handwritten digits, in MNIST's shape."""

from __future__ import annotations

import hashlib
from importlib import import_module
from typing import Any

import numpy as np

from payload.errors import DataUnusable

TRAINING_IMAGES = 1500
_SPLIT_SEED = 0

Split = tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.int32]]]


def load() -> tuple[Split, Split, str]:
    """Return training part, test part and the SHA-256 of the arrays they were cut from.

    The file is ordered by writer, so it is shuffled (always alike) before it is split. Its 8x8
    pixels of 0 to 16 become 24x24 of 0 to 255 by repetition, centred in 28x28 as MNIST's are.

    Raises:
        DataUnusable: If scikit-learn is not installed.
    """
    try:
        datasets = import_module("sklearn.datasets")
    except ModuleNotFoundError as missing:
        raise DataUnusable(
            "digits come with scikit-learn, which is not installed", fix="install scikit-learn"
        ) from missing
    pixels, labels = datasets.load_digits(return_X_y=True)
    small = np.minimum(pixels.reshape(-1, 8, 8) * 16, 255).astype(np.uint8)
    large = np.pad(small.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))[..., None]
    labels = labels.astype(np.int32)
    digest = hashlib.sha256(large.tobytes() + labels.tobytes()).hexdigest()
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(labels))
    train, test = order[:TRAINING_IMAGES], order[TRAINING_IMAGES:]
    return (large[train], labels[train]), (large[test], labels[test]), digest
