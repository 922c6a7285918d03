"""`python -m payload`: options in, one JSON document out.

Exit codes: 0 the result is valid, or the self-test passed; 1 the run failed or its result is
invalid (the document says why); 2 wrong usage, and no document.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from payload import listing, output, selftest
from payload.document import Json
from payload.interrupt import stop_requests
from payload.mllog import MlLog
from payload.options import PLACE, STDOUT, parse
from payload.progress import Progress
from payload.run import run
from payload.settings import MAX, Settings
from payload.tuning.child import run_in_child
from payload.tuning.search import Search
from payload.workers import scaling


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; wrong usage raises `SystemExit(2)`."""
    options, settings = parse(arguments)
    if options.list:
        sys.stdout.write("".join(f"{line}\n" for line in listing.lines()))
        return 0
    if options.batch_size != MAX and len(options.batch_size) > 1 and settings is not None:
        return _one_by_one(options.batch_size, settings, options.output)
    writer = Writer(options.output, options.job_output)
    if settings is None:
        return _self_test(options.engine, writer)
    return _run(settings, writer, options.mllog, largest=options.batch_size == MAX)


def _run(settings: Settings, writer: Writer, log: str | None, *, largest: bool) -> int:
    progress = Progress(sys.stderr, time.monotonic, settings.global_batch_size)
    with stop_requests() as stop, _log(log) as lines:
        found = None
        if largest:
            search = Search(settings, progress.say)
            settings = replace(settings, batch_size=search.run())
            found = search.describe()
            progress = Progress(sys.stderr, time.monotonic, settings.global_batch_size)
        document = run(settings, stop, progress, writer.write, lines, search=found)
    _sum_up(document, progress)
    return 0 if document["valid"] and writer.done else 1


def _one_by_one(batch_sizes: Sequence[int], settings: Settings, output_name: str) -> int:
    """Run each batch size in a child, which leaves all memory to the next; return the exit code."""
    valid = True
    with stop_requests() as stop:
        for batch_size in batch_sizes:
            if stop.signal is not None:
                return 1
            progress = Progress(sys.stderr, time.monotonic, batch_size)
            progress.say(f"batch size {batch_size}")
            ended = run_in_child(replace(settings, batch_size=batch_size))
            if ended.document is None:
                progress.say(f"the run died with code {ended.code}")
                valid = False
                continue
            writer = Writer(output_name.replace(PLACE, str(batch_size)), None)
            writer.write(ended.document)
            _sum_up(ended.document, progress)
            valid = valid and ended.document["valid"] and writer.done
    return 0 if valid else 1


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


@contextmanager
def _log(target: str | None) -> Iterator[MlLog | None]:
    if target is None:
        yield None
    elif target == STDOUT:
        yield MlLog(sys.stderr)
    else:
        with Path(target).open("w", encoding="utf-8") as file:
            yield MlLog(file)


def _self_test(engine: str, writer: Writer) -> int:
    progress = Progress(sys.stderr, time.monotonic, selftest.BATCH_SIZE)
    with stop_requests() as stop:
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
