"""A run in a process of its own: there is a document of it, however that process ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from payload import mllog
from payload.apart.channel import Channel
from payload.apart.death import Traces
from payload.apart.process import do_apart
from payload.document import Json, Record
from payload.errors import PayloadError
from payload.interrupt import StopRequest
from payload.machine.environment import Observer
from payload.progress import Progress
from payload.run import begun, finish, run
from payload.settings import Settings


def run_apart(
    settings: Settings,
    stop: StopRequest,
    deliver: Callable[[Json], None],
    say: Callable[[str], None],
    *,
    log: str | None = None,
    search: Json | None = None,
    catch: bool = False,
    seconds: float | None = None,
) -> Json:
    """Train as `settings` say in a child, give the document to `deliver`, and return it.

    Where the child dies, the document has the reason, and what was measured until then but for
    the last seconds (`notes.SECONDS`).

    Args:
        settings: The run; it has no cluster.
        stop: A signal that arrives there is passed on to the child.
        deliver: Gets the document as soon as it is there.
        say: Told what a person should know of the child.
        log: Where the lines of `--mllog` go; `None` for nowhere.
        search: Tells how the batch size was found, where `max` was asked for.
        catch: Whether to keep to oneself what the child says.
        seconds: After which it is killed.
    """
    record, observer, traces = begun(settings, search), Observer(), Traces()
    documents: list[Json] = []

    def work(channel: Channel, stop_here: StopRequest) -> None:
        progress = Progress(sys.stderr, time.monotonic, settings.global_batch_size)
        with mllog.opened(log) as lines:
            run(
                settings, stop_here, progress, channel.deliver, lines,
                search=search, note=channel.note,
            )  # fmt: skip

    def receive(document: Json) -> None:
        documents.append(document)
        deliver(document)

    ended = do_apart(work, stop, receive, say, look=traces.look, catch=catch, seconds=seconds)
    if not documents:
        receive(_obituary(ended.note or record, traces.failure(ended), observer))
    return documents[-1]


def _obituary(record: Record, failure: PayloadError, observer: Observer) -> Json:
    """Return the document of a run whose process died."""
    if record.measurement.steps:
        from payload.summary import sum_up  # noqa: PLC0415 imports NumPy

        sum_up(record)
    if not record.reasons:  # else it died while it wrote them down
        record.measurement.stopped_by = "error"
        record.reasons.append(failure.reason)
    return finish(record, observer)
