"""What the workers of a job agree on, in the order in which their main threads ask for it.

Training in step needs every worker to run the same number of steps. The measuring loop decides
that by the clock, so all of them are given the clock of worker 0: then the same loop comes to the
same decisions everywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from payload.errors import PayloadError, WorkerLost
from payload.workers import bandwidth
from payload.workers.cluster import Cluster
from payload.workers.meeting import Json, meet
from payload.workers.watch import Watch
from payload.workers.wire import WireBroken


class Team:
    """The workers of a job, as one of them sees them.

    All methods are called by all workers in the same order: each waits for the others.

    Args:
        cluster: Who takes part.
        terms: What all must agree on, such as model and batch size.
        seconds: How long to wait until everybody is there.
        check_stop: Raises `Interrupted` when the run is to end.
        on_loss: Called from a thread when another worker dies or fails.

    Raises:
        WorkersUnmet: If somebody is missing, or has other terms.
    """

    def __init__(
        self,
        cluster: Cluster,
        terms: Json,
        seconds: float,
        check_stop: Callable[[], None],
        on_loss: Callable[[str], None],
    ) -> None:
        self.rank, self.size = cluster.rank, cluster.size
        self._lines = meet(cluster, terms, seconds, check_stop)
        names = tuple(f"worker {rank} ({w.host})" for rank, w in enumerate(cluster.workers))
        self._watch = Watch(self._lines, names, on_loss)

    def clock(self) -> float:
        """Return the monotonic seconds of worker 0, the same to all."""
        if self.rank == 0:
            now = time.monotonic()
            self._give(now)
            return now
        return float(self._take())

    def exchange(self, own: Any) -> list[Any]:
        """Return what each worker has to say, by rank, to all of them."""
        with self._no_loss():
            if self.rank != 0:
                self._lines[0].talk.send(own)
                return list(self._lines[0].talk.receive())
            everyone = [own, *(line.talk.receive() for line in self._lines)]
        self._give(everyone)
        return everyone

    def bandwidth(self) -> float:
        """Return bytes per second between worker 0 and the one it reaches most slowly."""
        with self._no_loss():
            if self.rank != 0:
                bandwidth.answer(self._lines[0].talk)
                return float(self._lines[0].talk.receive())
            slowest = min(bandwidth.measure(line.talk) for line in self._lines)
        self._give(slowest)
        return slowest

    def end(self, failure: str | None = None) -> None:
        """Take leave of the others, or tell them why this worker failed."""
        self._watch.end(failure)

    def blame(self, failure: PayloadError) -> PayloadError:
        """Return the loss of another worker, if that is what lies behind a failure of this one."""
        loss = self._watch.loss()
        return WorkerLost(loss) if loss else failure

    def _give(self, message: Any) -> None:
        with self._no_loss():
            for line in self._lines:
                line.talk.send(message)

    def _take(self) -> Any:
        with self._no_loss():
            return self._lines[0].talk.receive()

    @contextmanager
    def _no_loss(self) -> Iterator[None]:
        try:
            yield
        except WireBroken as broken:
            raise self.blame(WorkerLost(f"a worker was lost: {broken}")) from broken
