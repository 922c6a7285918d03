"""`python -m payload`: options in, one JSON document out.

Exit codes: 0 the result is valid, or the self-test passed; 1 the run failed or its result is
invalid (the document says why); 2 wrong usage, and no document.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from payload import listing, mllog, output, selftest
from payload.apart.training import run_apart
from payload.document import Json
from payload.interrupt import StopRequest, stop_requests
from payload.options import PLACE, STDOUT, parse
from payload.progress import Progress
from payload.run import run
from payload.settings import MAX, Settings
from payload.tuning.search import Search
from payload.workers import scaling


def main(arguments: Sequence[str] | None = None, *, apart: bool = False) -> int:
    """Run the command line and return the exit code; wrong usage raises `SystemExit(2)`.

    Args:
        arguments: `None` for those of this process.
        apart: Whether training gets a process of its own, so that there is a document however it
            dies. This one must not have loaded an engine then. Trials of several batch sizes
            always are apart.
    """
    options, settings = parse(arguments)
    if options.list:
        sys.stdout.write("".join(f"{line}\n" for line in listing.lines()))
        return 0
    if options.batch_size != MAX and len(options.batch_size) > 1 and settings is not None:
        return _one_by_one(options.batch_size, settings, options.output)
    writer = Writer(options.output, options.job_output)
    if settings is None:
        return _self_test(options.engine, writer, apart=apart)
    largest = options.batch_size == MAX
    # Who kills, stops or watches a worker of a job means the process that trains.
    return _run(
        settings, writer, options.mllog,
        largest=largest, apart=largest or (apart and settings.cluster is None),
    )  # fmt: skip


def _run(settings: Settings, writer: Writer, log: str | None, *, largest: bool, apart: bool) -> int:
    progress = Progress(sys.stderr, time.monotonic, settings.global_batch_size)
    with stop_requests() as stop:
        if largest:
            document = _largest(settings, stop, progress, log)
            writer.write(document)
        elif apart:
            document = run_apart(settings, stop, writer.write, progress.say, log=log)
        else:
            with mllog.opened(log) as lines:
                document = run(settings, stop, progress, writer.write, lines)
    _sum_up(document, progress)
    return 0 if document["valid"] and writer.done else 1


def _largest(settings: Settings, stop: StopRequest, progress: Progress, log: str | None) -> Json:
    """Run the largest batch size that fits, and return the document."""
    search = Search(settings, stop, progress.say)

    def run_one(batch_size: int) -> Json:
        one = replace(settings, batch_size=batch_size)
        found = search.describe()
        return run_apart(one, stop, lambda _document: None, progress.say, log=log, search=found)

    return search.measure(run_one)


def _one_by_one(batch_sizes: Sequence[int], settings: Settings, output_name: str) -> int:
    """Run each batch size in a child, which leaves all memory to the next; return the exit code."""
    good = True
    with stop_requests() as stop:
        for batch_size in batch_sizes:
            progress = Progress(sys.stderr, time.monotonic, batch_size)
            progress.say(f"batch size {batch_size}")
            writer = Writer(output_name.replace(PLACE, str(batch_size)), None)
            one = replace(settings, batch_size=batch_size)
            document = run_apart(one, stop, writer.write, progress.say)
            _sum_up(document, progress)
            good = good and document["valid"] and writer.done
            if stop.signal is not None:
                return 1
    return 0 if good else 1


def _sum_up(document: Json, progress: Progress) -> None:
    for reason in document["reasons"]:
        progress.say(reason)
    for warning in document["warnings"]:
        progress.say(f"warning: {warning}")
    for line in summary(document):
        progress.say(line)


def summary(document: Json) -> Iterator[str]:
    """Yield the lines that a person wants to see of a valid document."""
    figures, ceilings = document["throughput"], document["ceilings"]
    if document["valid"] and figures["median"]:
        yield (
            f"{figures['median']:.1f} images/s "
            f"({figures['low']:.1f} to {figures['high']:.1f}), {document['stopped_by']}"
        )
    if not ceilings:
        return
    for name, unit in (
        ("matmul", "FLOP/s"),
        ("convolution", "FLOP/s"),
        ("memory", "B/s"),
        ("host_to_device", "B/s"),
    ):
        if ceilings[name]:
            share = ceilings.get(f"of_{name}")
            of_it = f", of which the model reaches {share:.0%}" if share else ""
            speed = ceilings[name]["per_second"] / 1e9
            yield f"{name.replace('_', ' ')}: {speed:.1f} G{unit}{of_it}"


def _self_test(engine: str, writer: Writer, *, apart: bool) -> int:
    progress = Progress(sys.stderr, time.monotonic, selftest.BATCH_SIZE)
    with stop_requests() as stop:
        if apart:
            document = selftest.run_apart(engine, stop, progress.say)
        else:
            document = selftest.run(engine, stop.check, progress.say)
    writer.write(document)
    for reason in document["reasons"]:
        progress.say(reason)
    progress.say("self-test passed" if document["passed"] else "self-test failed")
    return 0 if document["passed"] and writer.done else 1


class Writer:
    """Writes documents to files or standard output; `done` says whether all went well.

    Args:
        target: Where the run's document goes.
        job: Where that of a job goes; `None` for nowhere.
    """

    def __init__(self, target: str, job: Path | None) -> None:
        self._target, self._job = target, job
        self.done = True

    def write(self, document: Json) -> None:
        """Write a document; standard error says why, if it can't be written."""
        if document["kind"] != scaling.KIND:
            self._write(self._target, document)
        elif self._job is not None:
            self._write(str(self._job), document)

    def _write(self, target: str, document: Json) -> None:
        text = output.to_text(document)
        try:
            if target == STDOUT:
                sys.stdout.write(text)
                sys.stdout.flush()
            else:
                output.write_atomically(Path(target), text)
        except OSError as error:
            self.done = False
            sys.stderr.write(f"payload: the document can't be written: {error}\n")
            if target == STDOUT:
                # Python flushes standard output once more at its end, and would fail again.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
