import io
from collections.abc import Iterator

from payload.loop import Moment
from payload.progress import Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def ticking(seconds: float) -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += seconds


def shown(
    stream: io.StringIO,
    tick: float,
    steps: int,
    done: float | None = None,
    left: float | None = None,
) -> str:
    clock = ticking(tick)
    progress = Progress(stream, lambda: next(clock), batch_size=64)
    for _ in range(steps):
        progress.show(Moment("timed", 0.5, done, left))
    progress.say("done")
    return stream.getvalue()


def test_a_terminal_has_one_live_line() -> None:
    text = shown(Terminal(), tick=1.0, steps=3)
    line = "\r\x1b[Ktimed       128.0 images/s, 500.00 ms a step"
    assert text == 3 * line + "\r\x1b[Kdone\n"


def test_elsewhere_there_are_plain_lines_every_few_seconds() -> None:
    text = shown(io.StringIO(), tick=1.0, steps=12)
    assert text == 3 * "timed: 128.0 images/s, 500.00 ms a step\n" + "done\n"


def test_a_new_phase_is_shown_at_once() -> None:
    stream = io.StringIO()
    progress = Progress(stream, lambda: 0.0, batch_size=1)
    for phase in ("warm-up", "warm-up", "timed"):
        progress.show(Moment(phase, 1.0))
    assert [line.partition(":")[0] for line in stream.getvalue().splitlines()] == [
        "warm-up",
        "timed",
    ]


def test_a_terminal_shows_a_bar_with_the_time_that_is_left() -> None:
    text = shown(Terminal(), tick=1.0, steps=1, done=0.5, left=29.6)
    bar = f"[{'#' * 12}{'-' * 12}]  50%"
    line = f"timed       {bar}  128.0 images/s, 500.00 ms a step  at most 30 s left"
    assert text == f"\r\x1b[K{line}\r\x1b[Kdone\n"


def test_a_phase_without_training_is_named() -> None:
    plain, live = io.StringIO(), Terminal()
    for stream in (plain, live):
        Progress(stream, lambda: 0.0, batch_size=1).show(Moment("ceiling: matmul"))
    assert plain.getvalue() == "ceiling: matmul\n"
    assert live.getvalue() == "\r\x1b[Kceiling: matmul"
