"""One run from its settings to its document, whatever happens in between."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timezone

from payload import document, engines, validity
from payload.document import Json, Record
from payload.environment import Observer
from payload.errors import Interrupted, OutOfMemory, PayloadError
from payload.interrupt import StopRequest
from payload.progress import Progress
from payload.settings import Settings


def run(
    settings: Settings, stop: StopRequest, progress: Progress, deliver: Callable[[Json], None]
) -> Json:
    """Train as `settings` say, give the document to `deliver`, and return it.

    A failure ends up in the document, with all that was measured before it. One that is no
    `PayloadError` is a defect of this program: it is raised, after the document is delivered.
    """
    record = Record(settings, started=_now())
    observer = Observer()
    try:
        _train(settings, record, stop, progress)
    except Interrupted as interrupted:
        record.measurement.stopped_by = "interrupt"
        record.reasons.append(interrupted.reason)
    except PayloadError as failure:
        record.measurement.stopped_by = "error"
        record.reasons.append(failure.reason)
    except MemoryError as refused:
        record.measurement.stopped_by = "error"
        record.reasons.append(OutOfMemory(f"the host has no room: {refused}").reason)
    except Exception as error:
        record.measurement.stopped_by = "error"
        record.reasons.append(f"defect: {type(error).__name__}: {error}")
        deliver(_finish(record, observer))
        raise
    finished = _finish(record, observer)
    deliver(finished)
    return finished


def _finish(record: Record, observer: Observer) -> Json:
    record.environment = observer.describe()
    record.reasons += _doubts(record)
    record.finished = _now()
    return document.build(record)


def _train(settings: Settings, record: Record, stop: StopRequest, progress: Progress) -> None:
    progress.say(f"loading the engine {settings.engine}")
    engine = engines.load(settings.engine)
    from payload import session  # noqa: PLC0415 imports Keras, on top of the engine just loaded
    from payload.loop import Surroundings  # noqa: PLC0415 imports NumPy

    stop.check()
    progress.say(f"preparing {settings.model}, {settings.data} data")
    around = Surroundings(time.monotonic, stop.check, progress.step)
    session.train(engine, settings, record, around)


def _doubts(record: Record) -> list[str]:
    reasons = validity.too_few_steps(record.measurement)
    if record.framework is not None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = record.environment["gpus"]
        reasons += validity.gpu_reasons(gpus, record.framework, visible)
    return reasons


def _now() -> datetime:
    return datetime.now(timezone.utc)
