"""A run's part in a job, if it has one: joined before it trains, concluded after it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from payload.errors import DataUnusable, PayloadError
from payload.settings import Settings
from payload.workers import scaling
from payload.workers.team import Team

Json = dict[str, Any]

OWN = ("cluster", "alone", "checksums", "threads")
"""Settings in which workers may differ."""
LIKE = ("model", "engine", "batch_size", "precision", "image_shape", "devices", "valid")
"""Keys in which a document of one worker must be like this run, to be what it is held against."""


class Job:
    """What a run needs of its job. A run that has none is alone, and all of this is easy.

    Args:
        settings: With the cluster, where there is one.
        on_loss: Called from a thread, with the reason, when another worker dies or fails.
    """

    def __init__(self, settings: Settings, on_loss: Callable[[str], None]) -> None:
        self._settings, self._on_loss = settings, on_loss
        self._team: Team | None = None
        self._bandwidth = 0.0
        self._alone: float | None = None

    def join(self, seconds: float, check_stop: Callable[[], None]) -> None:
        """Wait until all workers are there, and measure the network between them.

        Raises:
            WorkersUnmet: If they don't find each other, or were asked for other things.
            DataUnusable: If the document of `settings.alone` can't be read or is of another run.
        """
        cluster = self._settings.cluster
        if cluster is None:
            return
        self._alone = speed_alone(self._settings)
        terms = {key: value for key, value in asdict(self._settings).items() if key not in OWN}
        terms["workers"] = [str(worker) for worker in cluster.workers]
        # What JSON makes of a tuple is a list; compare what arrives with what arrives.
        terms = json.loads(json.dumps(terms, default=str))
        self._team = Team(
            cluster, terms, seconds, check_stop, lambda loss: self._on_loss(f"worker-lost: {loss}")
        )
        self._bandwidth = self._team.bandwidth()

    def clock(self) -> float:
        """Return monotonic seconds: the same to all workers."""
        return time.monotonic() if self._team is None else self._team.clock()

    def blame(self, failure: PayloadError) -> PayloadError:
        """Return what lies behind a failure of this run: perhaps the loss of another worker."""
        return failure if self._team is None else self._team.blame(failure)

    def conclude(self, document: Json, weights: str | None) -> Json | None:
        """Tell the others what came of this run; return the document of the job, if there is one.

        Raises:
            WorkerLost: If another one went away meanwhile.
        """
        cluster = self._settings.cluster
        if self._team is None or cluster is None:
            return None
        if weights is None or document["throughput"]["median"] is None:
            self._team.end("; ".join(document["reasons"]) or "it measured nothing")
            return None
        part = scaling.part(str(cluster.workers[cluster.rank]), document, weights, self._alone)
        everyone = self._team.exchange(part)
        self._team.end()
        return scaling.combine(self._settings, everyone, self._bandwidth)

    def leave(self, failure: str) -> None:
        """Tell the others why this run was given up."""
        if self._team is not None:
            self._team.end(failure)


def speed_alone(settings: Settings) -> float | None:
    """Return the images/s of the document in `settings.alone`.

    Raises:
        DataUnusable: If it is not that of a valid run of one worker with the same settings.
    """
    path: Path | None = settings.alone
    if path is None:
        return None
    wanted = {key: getattr(settings, key, True) for key in LIKE}
    wanted["image_shape"] = list(settings.image_shape)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        # A machine that can't compute as it was asked to does the same here as it did alone.
        found = {key: document[key] for key in LIKE} | document["asked"]
        speed = float(document["throughput"]["median"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataUnusable(f"--alone {path}: this is no document of a run: {error!r}") from error
    if different := [key for key in LIKE if found[key] != wanted[key]]:
        words = ", ".join(f"{key} {found[key]!r}, not {wanted[key]!r}" for key in different)
        raise DataUnusable(f"--alone {path}: it is of another run: {words}")
    return speed
