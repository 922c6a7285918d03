"""What one worker of a job trains on: its share of the data."""

from __future__ import annotations

from dataclasses import dataclass, replace

from payload.data import dataset as data
from payload.data.dataset import Dataset, Examples, Int32Array, Rows, UInt8Array
from payload.settings import SYNTHETIC, Settings


@dataclass(frozen=True, slots=True)
class Share:
    """Every `workers`-th example, from `rank` on; each worker has the same number."""

    whole: Examples
    rank: int
    workers: int

    def __len__(self) -> int:
        return len(self.whole) // self.workers

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Return height, width and channels."""
        return self.whole.image_shape

    @property
    def decode_threads(self) -> int:
        """Return how many threads decode images."""
        return self.whole.decode_threads

    def take(self, rows: Rows) -> tuple[UInt8Array, Int32Array]:
        """Return some of the images of the share, and their labels."""
        return self.whole.take(rows * self.workers + self.rank)


def load(settings: Settings) -> Dataset:
    """Return the data that this run trains on.

    Synthetic images differ from worker to worker. Real training images are dealt out; the test
    images are the same for all.

    Raises:
        DataUnusable: If it is missing, damaged, not what its checksum says, or does not fit.
    """
    cluster = settings.cluster
    if cluster is None:
        return data.load(settings)
    if settings.data == SYNTHETIC:
        return data.load(replace(settings, seed=settings.seed + cluster.rank))
    whole = data.load(settings)
    dealt = replace(whole, train=Share(whole.train, cluster.rank, cluster.size))
    data.check_fit(dealt, settings)
    return dealt
