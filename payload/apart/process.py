"""Work in a child process, which may die without harm to this one.

The child is forked, before NumPy or an engine is loaded: so it begins within a millisecond, and
has its parent's terminal and process group. It does not outlive its parent.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from payload.apart.channel import Channel, Inbox
from payload.interrupt import SIGNALS, StopRequest, stop_requests

TICK_SECONDS = 0.25
LINGER_SECONDS = 2.0
"""A child that has delivered its result ends within this, or is killed; one that hangs in a driver
even then is left behind after the same time once more."""
TAIL_BYTES = 4096
_CHUNK = 1 << 16
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

Work = Callable[[Channel, StopRequest], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended.

    Attributes:
        code: Its exit code, or minus the signal that killed it; `None` if its parent killed it:
            its time was over, or it did not end after its result.
        note: The last value that it noted; `None` where it noted nothing.
        said: The end of what it wrote to file 2, where C++ and the C library write.
    """

    code: int | None
    note: Any
    said: str


def do_apart(
    work: Work,
    stop: StopRequest,
    receive: Callable[[Any], None],
    say: Callable[[str], None],
    *,
    look: Callable[[int], None],
    catch: bool = False,
    seconds: float | None = None,
) -> Ended:
    """Do `work` in a child, and wait until it ends.

    Args:
        work: Gets a channel to this process, and the request to stop. A signal that arrives at
            this process is passed on to the child.
        stop: The request to stop of this process.
        receive: Gets what the child delivers, at once.
        say: Told of a child that can't be killed.
        look: Called with the child's number now and then while it runs.
        catch: Whether to keep what the child says on standard error to oneself.
        seconds: After which it is killed.

    Raises:
        RuntimeError: If this process has threads, such as those of an engine: a fork copies one
            thread, and the locks that the others hold.
    """
    if len([*Path("/proc/self/task").glob("*")]) > 1:
        raise RuntimeError("a process with threads can't be forked")
    inbox, outbox = os.pipe()
    errors, error = os.pipe()
    parent = os.getpid()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # or the child would write it once more
    # A signal before the child can take it as a request would end it without a result.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    number = os.fork()
    if number == 0:
        os.close(inbox)
        os.close(errors)
        _be_child(work, stop, parent, outbox, error, catch=catch)
    os.close(outbox)
    os.close(error)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    child = _Child(number, inbox, errors, stop, look, say, echo=not catch)
    try:
        return child.follow(receive, seconds)
    finally:
        child.close()


class _Child:
    """A child as its parent sees it."""

    def __init__(
        self,
        number: int,
        inbox: int,
        errors: int,
        stop: StopRequest,
        look: Callable[[int], None],
        say: Callable[[str], None],
        *,
        echo: bool,
    ) -> None:
        self._number, self._pipe, self._errors = number, inbox, errors
        self._stop, self._look, self._say, self._echo = stop, look, say, echo
        self._bells = [] if stop.bell is None else [stop.bell]
        self._inbox, self._said = Inbox(), b""
        self._done_with = False

    def follow(self, receive: Callable[[Any], None], seconds: float | None) -> Ended:
        """Take what the child tells until it has ended, or is to be given up."""
        end = None if seconds is None else time.monotonic() + seconds
        runs = True
        while runs and (end is None or time.monotonic() < end):
            runs = self._listen()
            for result in self._inbox.results():
                receive(result)
                end = time.monotonic() + LINGER_SECONDS
        code = self._kill() if runs else self._wait(None)
        self._hear()
        said = self._said.decode("utf-8", "replace")
        return Ended(None if runs else code, self._inbox.note(), said)

    def close(self) -> None:
        """Close the pipes; a child that still runs, since this process is stopped, is killed."""
        if not self._done_with:
            self._kill()
        os.close(self._pipe)
        os.close(self._errors)

    def _kill(self) -> int | None:
        os.kill(self._number, signal.SIGKILL)
        code = self._wait(LINGER_SECONDS)
        if code is None:
            self._say(
                f"process {self._number} was killed and does not end: it waits inside the kernel, "
                "as for a GPU that no longer answers; reboot this machine"
            )
        return code

    def _listen(self) -> bool:
        """Wait for a word of the child or a signal; return whether the child still runs."""
        files = [self._pipe, self._errors, *self._bells]
        ready, _, _ = select.select(files, [], [], TICK_SECONDS)
        if self._stop.bell in ready and (heard := self._stop.heard(0)) is not None:
            os.kill(self._number, heard)
        if self._errors in ready:
            self._hear()
        if self._pipe in ready:
            # Only the child holds the other end: it closes when the child dies.
            data = os.read(self._pipe, _CHUNK)
            self._inbox.feed(data)
            return bool(data)
        self._look(self._number)
        return True

    def _hear(self) -> None:
        """Take what the child has written to its file 2 so far."""
        while select.select([self._errors], [], [], 0)[0]:
            data = os.read(self._errors, _CHUNK)
            if not data:
                return
            self._said = (self._said + data)[-TAIL_BYTES:]
            if self._echo:
                with suppress(OSError):
                    os.write(sys.stderr.fileno(), data)

    def _wait(self, seconds: float | None) -> int | None:
        """Return the code with which the child ended; `None` if it has not by then."""
        end = None if seconds is None else time.monotonic() + seconds
        found, status = 0, 0
        while not found and (end is None or time.monotonic() < end):
            found, status = os.waitpid(self._number, 0 if end is None else os.WNOHANG)
            if not found:
                time.sleep(0.01)
        self._done_with = True
        return os.waitstatus_to_exitcode(status) if found else None


def _be_child(
    work: Work, stop: StopRequest, parent: int, outbox: int, error: int, *, catch: bool
) -> NoReturn:
    """Do the work and end this process, without what its parent wants done at its own end."""
    code = 1
    try:
        _die_with(parent)
        if not catch:
            # The progress stays where a terminal is; file 2 is for what an engine has to say.
            sys.stderr = os.fdopen(
                os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors=sys.stderr.errors
            )
        os.dup2(error, 2)
        with stop_requests(repeatable=True) as own:
            own.signal = stop.signal
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            work(Channel(outbox), own)
        code = 0
    except BaseException as failure:  # noqa: BLE001 whatever it is, this process ends here
        os.write(2, _traceback(failure))
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code)


def _die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends (prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _traceback(failure: BaseException) -> bytes:
    if isinstance(failure, MemoryError):  # there is none for a traceback
        return b"MemoryError\n"
    return "".join(traceback.format_exception(failure)).encode("utf-8", "replace")
