"""`--mllog`: what happens in a run, as lines of the MLPerf logging format.

Each line is `:::MLLOG ` and a JSON object with `namespace`, `time_ms` (since 1970), `event_type`,
`key`, `value` and `metadata` (mlcommons/logging, `mllog`). Tools that read such logs can read
these; a submission needs more than a payload knows.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from payload.document import Record
from payload.happenings import Happening
from payload.settings import optimizer_of

PREFIX = ":::MLLOG "
STDERR = "-"
POINT, START, END = "POINT_IN_TIME", "INTERVAL_START", "INTERVAL_END"
DIVISION = "open"


class MlLog:
    """Writes the lines of one run.

    Args:
        stream: Where to; flushed after each line, so that a run that dies leaves what happened.
        clock: Seconds since 1970.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.time) -> None:
        self._stream, self._clock = stream, clock
        self._running = False

    def begin(self, record: Record) -> None:
        """Tell what is asked for, and that preparing begins."""
        settings = record.settings
        name, rate = optimizer_of(settings.model)
        self._point("submission_benchmark", settings.model)
        self._point("submission_division", DIVISION)
        self._point("submission_platform", platform.node())
        self._line(START, "init_start")
        self._point("seed", settings.seed)
        self._point("global_batch_size", settings.job_batch_size)
        self._point("gradient_accumulation_steps", 1)
        self._point("opt_name", name)
        self._point("opt_base_learning_rate", settings.learning_rate or rate)

    def happen(self, record: Record, happening: Happening, epoch: int | None) -> None:
        """Tell what happens in the loop. `epoch` counts from 1."""
        about = {} if epoch is None else {"epoch_num": epoch}
        match happening:
            case Happening.READY:
                self._point("train_samples", record.data.get("examples"))
                self._point("eval_samples", record.data.get("test_examples"))
                self._line(END, "init_stop")
                self._line(START, "run_start")
                self._running = True
            case Happening.TIMED_BEGIN:
                self._line(START, "block_start", first_step_num=record.measurement.warmup_steps + 2)
            case Happening.TIMED_END:
                self._line(END, "block_stop", step_count=record.measurement.timed_steps)
            case Happening.EPOCH_BEGIN:
                self._line(START, "epoch_start", **about)
            case Happening.EPOCH_END:
                self._line(END, "epoch_stop", **about)
                self._line(START, "eval_start", **about)
            case Happening.TESTED:
                self._line(END, "eval_stop", **about)
                self._point("eval_accuracy", record.learning.epochs[-1].accuracy, **about)

    def end(self, record: Record) -> None:
        """Tell the speed, and how the run ended."""
        if record.summary is not None:
            self._point("tracked_stats", {"throughput": record.summary["median"]})
        if self._running:
            self._line(END, "run_stop", status="aborted" if record.reasons else "success")

    def _point(self, key: str, value: Any, **metadata: Any) -> None:
        self._line(POINT, key, value, **metadata)

    def _line(self, kind: str, key: str, value: Any = None, **metadata: Any) -> None:
        line = {
            "namespace": "",
            "time_ms": int(self._clock() * 1000),
            "event_type": kind,
            "key": key,
            "value": value,
            "metadata": metadata,
        }
        self._stream.write(f"{PREFIX}{json.dumps(line)}\n")
        self._stream.flush()


@contextmanager
def opened(target: str | None) -> Iterator[MlLog | None]:
    """Open the log that `--mllog` asks for: a file, `-` for standard error, or none."""
    if target is None:
        yield None
    elif target == STDERR:
        yield MlLog(sys.stderr)
    else:
        with Path(target).open("w", encoding="utf-8") as file:
            yield MlLog(file)
