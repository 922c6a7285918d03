"""One run from its settings to its document, whatever happens in between."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timezone

from payload import document, engines, judgement, validity
from payload.document import Json, Record
from payload.errors import Interrupted, OutOfMemory, PayloadError
from payload.guard import guarded
from payload.happenings import Happening
from payload.interrupt import StopRequest
from payload.machine.environment import Observer
from payload.mllog import MlLog
from payload.notes import Notes
from payload.progress import Progress
from payload.settings import MAX, Settings
from payload.telemetry import report
from payload.telemetry.nvml import Cards
from payload.telemetry.watch import Watch
from payload.workers.job import Job


def run(
    settings: Settings,
    stop: StopRequest,
    progress: Progress,
    deliver: Callable[[Json], None],
    log: MlLog | None = None,
    *,
    search: Json | None = None,
    note: Callable[[Record], None] = lambda _record: None,
) -> Json:
    """Train as `settings` say, give the document to `deliver`, and return it.

    What happens meanwhile goes to `log`, where there is one. `search` tells how the batch size was
    found, where `max` was asked for. `note` gets what is known so far, now and then.

    A failure ends up in the document, with all that was measured before it. One that is no
    `PayloadError` is a defect of this program: it is raised, after the document is delivered.
    """
    record = begun(settings, search)
    if log is not None:
        log.begin(record)
    observer = Observer()

    def give_up(reason: str) -> None:
        record.measurement.stopped_by = "error"
        record.reasons.append(reason)
        progress.say(reason)
        deliver(finish(record, observer))

    with guarded(stop, give_up) as guard:
        job = Job(settings, guard.doom)
        try:
            return _run(record, observer, job, stop, progress, deliver, log, note)
        finally:
            if log is not None:
                log.end(record)


def _run(
    record: Record,
    observer: Observer,
    job: Job,
    stop: StopRequest,
    progress: Progress,
    deliver: Callable[[Json], None],
    log: MlLog | None,
    note: Callable[[Record], None],
) -> Json:
    try:
        _train(record, job, stop, progress, log, note)
    except Interrupted as interrupted:
        record.measurement.stopped_by = "interrupt"
        record.reasons.append(interrupted.reason)
    except PayloadError as failure:
        record.measurement.stopped_by = "error"
        record.reasons.append(job.blame(failure).reason)
    except MemoryError as refused:
        record.measurement.stopped_by = "error"
        record.reasons.append(OutOfMemory(f"the host has no room: {refused}").reason)
    except Exception as error:
        record.measurement.stopped_by = "error"
        record.reasons.append(f"defect: {type(error).__name__}: {error}")
        job.leave(record.reasons[-1])
        deliver(finish(record, observer))
        raise
    note(record)
    finished = finish(record, observer)
    try:
        together = job.conclude(finished, record.weights_sha256)
    except PayloadError as lost:
        record.reasons.append(lost.reason)
        together, finished = None, document.build(record)
    deliver(finished)
    if (
        together is not None
        and record.settings.cluster is not None
        and record.settings.cluster.rank == 0
    ):
        deliver(together)
    return finished


def begun(settings: Settings, search: Json | None = None) -> Record:
    """Return the record of a run that begins now."""
    asked: Json = {"precision": settings.precision} | ({"batch_size": MAX} if search else {})
    return Record(settings, started=now(), asked=asked, search=search)


def finish(record: Record, observer: Observer) -> Json:
    """Return the document of a run that ends now, however it ended."""
    record.environment = observer.describe()
    record.reasons += _doubts(record)
    record.warnings += _warnings(record)
    record.finished = now()
    return document.build(record)


def _train(
    record: Record,
    job: Job,
    stop: StopRequest,
    progress: Progress,
    log: MlLog | None,
    note: Callable[[Record], None],
) -> None:
    settings = record.settings
    stop.check()
    progress.say(f"loading the engine {settings.engine}")
    engine = engines.load(settings.engine)
    from payload import session  # noqa: PLC0415 imports Keras, on top of the engine just loaded
    from payload.loop import Moment, Surroundings  # noqa: PLC0415 imports NumPy

    stop.check()
    progress.say(f"preparing {settings.model}, {settings.data} data")
    if settings.cluster is not None:
        progress.say(f"waiting for {settings.cluster.size - 1} other workers")
    job.join(settings.join_seconds, stop.check)
    cards = Cards.open()
    watch = Watch(cards)
    notes = Notes(record, note, time.monotonic)

    def show(moment: Moment) -> None:
        progress.show(moment)
        notes.now_and_then()

    def happen(happening: Happening, epoch: int | None) -> None:
        notes.take()
        if log is not None:
            log.happen(record, happening, epoch)

    around = Surroundings(job.clock, stop.check, show, watch.running, happen)
    try:
        session.train(engine, settings, record, around)
    finally:
        images = record.measurement.timed_steps * settings.batch_size * settings.devices
        record.telemetry = report.describe(watch, images)
        if not watch.stuck:
            cards.close()


def _doubts(record: Record) -> list[str]:
    reasons = validity.too_few_steps(record.measurement)
    if record.framework is not None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = record.environment["gpus"]
        reasons += validity.gpu_reasons(gpus, record.framework, visible)
    reasons += judgement.reasons(record.telemetry, record.framework)
    return reasons


def _warnings(record: Record) -> list[str]:
    target = record.settings.precision_target
    return [
        *judgement.warnings_of_steps(record.measurement, document.throughput(record), target),
        *judgement.warnings(record.telemetry, record.framework, record.environment),
    ]


def now() -> datetime:
    """Return the present moment, in UTC."""
    return datetime.now(timezone.utc)
