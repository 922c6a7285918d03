"""A child process that tells its events on a pipe: followed, and ended when its time is over."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

from provision.apply.interrupt import StopRequest
from provision.deadline import Deadline

GRACE_SECONDS = 10.0
POLL_SECONDS = 0.05


class Stopped(Exception):
    """Somebody asked to stop."""


class Child:
    """A running child; `lines` are what it writes to its pipe."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: int) -> None:
        self.process = process
        self._pipe = pipe
        self._unfinished = b""

    def lines(self, deadline: Deadline | None, stop: StopRequest) -> Iterator[str]:
        """Yield lines until the child closes its end.

        Raises:
            TimeoutError: The deadline has passed.
            Stopped: `stop` asks.
        """
        with _bell(stop) as bell, selectors.DefaultSelector() as selector:
            selector.register(self._pipe, selectors.EVENT_READ)
            selector.register(bell, selectors.EVENT_READ)
            while True:
                ready = selector.select(deadline.left if deadline else None)
                if stop.asked:
                    raise Stopped
                if not ready:
                    raise TimeoutError
                chunk = os.read(self._pipe, 65536)
                if not chunk:
                    return
                yield from self._lines_of(chunk)

    def rest(self) -> Iterator[str]:
        """Yield the lines that an ended child wrote before it went."""
        os.set_blocking(self._pipe, False)
        with suppress(BlockingIOError):
            while chunk := os.read(self._pipe, 65536):
                yield from self._lines_of(chunk)

    def _lines_of(self, chunk: bytes) -> list[str]:
        *lines, self._unfinished = (self._unfinished + chunk).split(b"\n")
        return [line.decode() for line in lines]

    def end(self, stop: StopRequest) -> None:
        """End the child if it still runs, politely, unless `stop` wants it at once.

        On SIGTERM Ansible ends its workers, which have process groups of their own.
        """
        if self.process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
            grace = Deadline.after(GRACE_SECONDS)
            while self.process.poll() is None and not (grace.passed or stop.at_once):
                time.sleep(POLL_SECONDS)
            # One that has been waited for has no number any more that is sure to be its own.
            if self.process.returncode is None:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def child(
    words: Sequence[str],
    environment: Callable[[int], Mapping[str, str]],
    output: IO[bytes],
    stop: StopRequest,
) -> Iterator[Child]:
    """Start a child in a process group of its own, and end it on the way out.

    `environment` makes the child's whole environment; it gets the descriptor of the pipe's end
    that is the child's.
    """
    reader, writer = os.pipe()
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment(writer),
            pass_fds=[writer],
            process_group=0,
        )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    running = Child(process, reader)
    try:
        yield running
    finally:
        running.end(stop)
        os.close(reader)


@contextmanager
def _bell(stop: StopRequest) -> Iterator[int]:
    """Give a descriptor that becomes readable when `stop` asks; a signal handler may ring it."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        with stop.listening(lambda: _ring(writer)):
            if stop.asked:
                _ring(writer)
            yield reader
    finally:
        os.close(reader)
        os.close(writer)


def _ring(writer: int) -> None:
    os.write(writer, b"!")
