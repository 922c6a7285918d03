"""Progress inside machines on stderr: a live table on a terminal, a line per step elsewhere."""

from __future__ import annotations

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

from provision.apply.interrupt import StopRequest, stop_on_signals
from provision.cli.output import say
from provision.cli.progress import DRAWN_PER_SECOND, MOST_ROWS, announced
from provision.guests.events import Event, EventKind

OnEvent = Callable[[Event], None]

# Ansible's own task before each role; the role `benchmark`'s task with one round per run.
ARGUMENT_CHECK = "Validating arguments"
MEASURE = "Measure"
FAILED = (EventKind.FAILED, EventKind.UNREACHABLE)


@contextmanager
def watching(machines: int) -> Iterator[tuple[OnEvent, StopRequest]]:
    """Give the function to call with each event, and what Ctrl-C sets, until the block ends."""
    with (
        stop_on_signals(StopRequest()) as stop,
        announced(stop, "ending Ansible; Ctrl-C again kills it"),
    ):
        if not sys.stderr.isatty():
            yield _tell, stop
            return
        board = Board(machines)
        console = Console(stderr=True)
        with Live(console=console, get_renderable=board.table, refresh_per_second=DRAWN_PER_SECOND):

            def show(event: Event) -> None:
                board.add(event)
                if text := news(event):
                    console.print(text, markup=False, highlight=False)

            yield show, stop


def _tell(event: Event) -> None:
    if event.kind is EventKind.TASK and not (event.task or "").startswith(ARGUMENT_CHECK):
        say(f"  {where(event)}")
    elif text := news(event):
        say(f"    {text}")


def news(event: Event) -> str | None:
    """Return what should stay on the screen, if the event is worth it."""
    match event.kind:
        case EventKind.FAILED | EventKind.UNREACHABLE if not event.ignored:
            return f"{event.host} {event.kind.value}: {event.message}"
        case EventKind.ITEM_OK | EventKind.ITEM_FAILED if event.task == MEASURE:
            return f"{event.host} {event.item}: {event.kind.value.removeprefix('item_')}"
    return None


def where(event: Event) -> str:
    """Return role and task of an event."""
    return f"{event.role}: {event.task}" if event.role else str(event.task)


@dataclass(slots=True)
class Board:
    """The newest step of each machine, and which have failed."""

    machines: int
    newest: dict[str, Event] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    failed: dict[str, Event] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Take one event in."""
        if event.host is None:
            return
        if event.kind is EventKind.START:
            self.since[event.host] = time.monotonic()
        if event.kind in FAILED and not event.ignored:
            self.failed[event.host] = event
        self.newest[event.host] = event

    def table(self) -> Table:
        """Return what to draw: machines at work first, then those that wait, then the failed."""
        table = Table.grid(padding=(0, 2))
        rows = [event for name, event in self.newest.items() if name not in self.failed]
        rows.sort(key=lambda event: event.kind is not EventKind.START)
        for event in [*rows, *self.failed.values()][:MOST_ROWS]:
            table.add_row(*self._row(event))
        if self.machines > MOST_ROWS:
            failed = f", {len(self.failed)} failed" if self.failed else ""
            table.add_row("", f"{len(self.newest)} of {self.machines} machines{failed}", "")
        return table

    def _row(self, event: Event) -> tuple[Spinner | Text, str, str]:
        name = str(event.host)
        if name in self.failed:
            return Text("✗", style="red"), name, where(event)
        if event.kind is EventKind.START:
            seconds = time.monotonic() - self.since[name]
            return Spinner("dots", style="cyan"), name, f"{where(event)} {seconds:.0f} s"
        item = f" {event.item}" if event.item else ""
        return Text("✓", style="green"), name, f"{where(event)}{item}"
