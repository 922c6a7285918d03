"""Progress of an apply on stderr: a live table on a terminal, a line per event elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from provision.apply.events import Event, Phase, line
from provision.apply.interrupt import StopRequest
from provision.cli.output import say

OnEvent = Callable[[Event], None]

MOST_ROWS = 24
DRAWN_PER_SECOND = 8


@contextmanager
def progress(machines: int, stop: StopRequest) -> Iterator[OnEvent]:
    """Give the function to call with each event; show what they add up to until the block ends.

    Args:
        machines: How many machines are to be worked on.
        stop: What Ctrl-C sets; that it was heard is shown at once.
    """
    with announced(stop, "finishing what runs; Ctrl-C again leaves"):
        if not sys.stderr.isatty():
            yield lambda event: say(line(event))
            return
        board = Board(machines)
        with Live(
            console=Console(stderr=True),
            get_renderable=board.table,
            refresh_per_second=DRAWN_PER_SECOND,
        ):
            yield board.add


@contextmanager
def announced(stop: StopRequest, first: str) -> Iterator[None]:
    """Say at once that a request to stop was heard; `first` says what happens at the first."""

    def heard() -> None:
        # Called from the signal handler, perhaps in the middle of a print: Python's own streams
        # can't be entered twice.
        text = "leaving at once" if stop.at_once else first
        os.write(sys.stderr.fileno(), f"\nstopping: {text}\n".encode())

    with stop.listening(heard):
        yield


@dataclass(slots=True)
class Board:
    """The newest event of each machine, and how many have come to an end."""

    machines: int
    newest: dict[str, Event] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Take one event in."""
        if event.phase is not Phase.NOTE:
            self.newest[event.machine] = event
            self.since[event.machine] = time.monotonic()

    def table(self) -> Table:
        """Return what to draw: machines at work first, then the newest that ended."""
        table = Table.grid(padding=(0, 2))
        running = [e for e in self.newest.values() if e.phase is Phase.STARTED]
        ended = [e for e in self.newest.values() if e.phase is not Phase.STARTED]
        ended.sort(key=lambda event: self.since[event.machine], reverse=True)
        for event in [*running, *ended][:MOST_ROWS]:
            table.add_row(*self._row(event))
        if self.machines > MOST_ROWS:
            begun = f"{len(self.newest)} of {self.machines} machines begun"
            table.add_row("", begun, "", style="dim")
        return table

    def _row(self, event: Event) -> tuple[Spinner | Text, str, str]:
        if event.phase is Phase.STARTED:
            seconds = time.monotonic() - self.since[event.machine]
            return Spinner("dots", style="cyan"), event.machine, f"{event.step} {seconds:.0f} s"
        failed = event.phase is Phase.FAILED
        sign = Text("✗", style="red") if failed else Text("✓", style="green")
        return sign, event.machine, f"{event.step} {event.phase}"
