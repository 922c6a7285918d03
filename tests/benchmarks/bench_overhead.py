"""What measuring costs: the same steps with the clock and telemetry, and without, in turns.

Without: the steps are queued in one go, and one wait ends them. With: windows of 25 ms, each with
its own wait and time, and a thread that looks at the machine, as a run does. Goal: below 1 %.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from statistics import median

from payload import engines
from payload.document import Record
from payload.loop import WINDOW_SECONDS, Trainer
from payload.settings import Settings
from payload.telemetry.nvml import Cards
from payload.telemetry.watch import Watch

BATCHES = (8, 64, 512)
ROUNDS = 15
ROUND_SECONDS = 2.0


def run() -> Iterator[str]:
    """Yield one line for each batch size: seconds with measuring over seconds without."""
    engine = engines.load("tensorflow")
    engine.set_up(Settings("mnist", BATCHES[0]))
    from payload import preparation  # noqa: PLC0415 imports Keras, on top of the engine just loaded

    for batch in BATCHES:
        settings = Settings("mnist", batch)
        trainer = preparation.prepare(engine, settings, Record(settings, datetime.now(UTC)))
        trainer.run(3)
        step = _plain(trainer, 20) / 20
        steps = math.ceil(ROUND_SECONDS / step)
        window = math.ceil(WINDOW_SECONDS / step)
        ratios = [_ratio(trainer, steps, window, turn) for turn in range(ROUNDS)]
        yield (
            f"    mnist, batch {batch}, {steps} steps: {median(ratios):.4f} "
            f"({min(ratios):.4f} to {max(ratios):.4f})"
        )


def _ratio(trainer: Trainer, steps: int, window: int, turn: int) -> float:
    """Return seconds with measuring over seconds without; who begins changes with the turn."""
    if turn % 2:
        plain = _plain(trainer, steps)
        return _measured(trainer, steps, window) / plain
    return _measured(trainer, steps, window) / _plain(trainer, steps)


def _plain(trainer: Trainer, steps: int) -> float:
    start = time.monotonic()
    trainer.run(steps)
    return time.monotonic() - start


def _measured(trainer: Trainer, steps: int, window: int) -> float:
    cards = Cards.open()
    watch, times = Watch(cards), list[float]()
    with watch.running():
        start = time.monotonic()
        left = steps
        while left > 0:
            count = min(window, left)
            times.append(_plain(trainer, count) / count)
            left -= count
        seconds = time.monotonic() - start
    cards.close()
    return seconds
