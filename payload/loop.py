"""The measuring loop: first step, warm-up, timed steps; then, for real data, epochs.

It knows no framework. A `Trainer` runs steps, a clock tells seconds, so that tests need neither.

1. The first step is timed by itself: it compiles and allocates.
2. Warm-up ends when it has lasted `WARMUP_SECONDS` and the last three windows agree with the three
   before them within 5 per cent (`statistics.is_stable`), and in any case when it has used
   `WARMUP_SHARE` of the time limit, or `WARMUP_LONGEST` seconds. Whether it was stable is kept.
3. Timed windows follow until the number of steps asked for is done, or the bootstrap interval of
   the median step time is narrower than +-`precision_target`, or the time limit is over. The limit
   counts warm-up and timed steps; the window that is running when it passes is finished.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from payload import statistics
from payload.errors import Diverged
from payload.happenings import Happening
from payload.measurement import Epoch, Learning, Measurement
from payload.settings import DEFAULT_PRECISION_TARGET

WINDOW_SECONDS = 0.025
"""A window lasts at least this long; waiting for a GPU takes some 0.1 ms, well below 1 %."""
CALIBRATION_STEPS = 3
WARMUP_SECONDS = 1.0
WARMUP_SHARE = 1 / 3
WARMUP_LONGEST = 20.0
PRECISION_WINDOWS = 20
PRECISION_SECONDS = 2.0
"""An interval is trusted only after so many windows and seconds: a short calm can be chance."""
CHECK_GROWTH = 1.25
"""The interval is computed again when there are a quarter more windows."""


class Trainer(Protocol):
    """Trains a model on batches of fixed size."""

    @property
    def waited_seconds(self) -> float:
        """Return how long steps have waited for their batches so far."""
        ...

    @property
    def epoch_steps(self) -> int:
        """Return the whole batches that the training images fill."""
        ...

    def run(self, steps: int) -> float:
        """Train `steps` steps, wait until the device is done, and return the last loss."""
        ...

    def feed_images_per_second(self) -> float | None:
        """Return how fast the input comes when nothing trains; `None` where it is resident."""
        ...

    def remember_start(self) -> None:
        """Keep the state of the beginning, for `restart`."""
        ...

    def restart(self) -> None:
        """Return to the weights, the optimizer's state and the data order of the beginning."""
        ...

    def accuracy(self) -> float:
        """Return the share of test images that are labelled rightly."""
        ...

    def digest(self) -> str:
        """Return the SHA-256 of everything that training changes."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop: after `steps` timed steps, or after `time_limit` seconds, or when precise.

    `precision_target` is half the width of the interval, as a share of the median.
    """

    steps: int | None
    time_limit: float | None
    seed: int
    precision_target: float = DEFAULT_PRECISION_TARGET


@dataclass(frozen=True, slots=True)
class Moment:
    """What a run is doing now.

    Attributes:
        phase: `first step`, `warm-up`, `timed`, `epoch 1`, `ceiling: matmul`.
        step_seconds: Of the last step; `None` where nothing trains.
        done: Share of the phase, 0 to 1; `None` if it has no end that is known.
        left_seconds: Until the phase ends at the latest; `None` if unknown.
    """

    phase: str
    step_seconds: float | None = None
    done: float | None = None
    left_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the loop gets from outside.

    Attributes:
        clock: Monotonic seconds.
        check_stop: Raises `Interrupted` when the run is to end.
        progress: Told now and then what the run is doing.
        timed: Entered while steps are timed; watches the machine.
        happen: Told what begins and ends, with the number of the epoch in epochs.
    """

    clock: Callable[[], float]
    check_stop: Callable[[], None]
    progress: Callable[[Moment], None]
    timed: Callable[[], AbstractContextManager[None]] = nullcontext
    happen: Callable[[Happening, int | None], None] = lambda _happening, _epoch: None


class Loop:
    """Runs a trainer and records what it measures."""

    def __init__(
        self, trainer: Trainer, measurement: Measurement, surroundings: Surroundings
    ) -> None:
        self._trainer = trainer
        self._record = measurement
        self._around = surroundings

    def measure(self, limits: Limits) -> None:
        """Measure step times, as the head of this module says.

        Raises:
            Diverged: If a loss is NaN or infinite.
            Interrupted: If a stop was requested; the measurement says so.
        """
        record = self._record
        self._around.happen(Happening.READY, None)
        record.first_step_seconds = self._window("first step", 1)
        self._tell("first step", record.first_step_seconds)
        record.loss_first = record.loss_last
        started = self._around.clock()
        self._warm_up(limits, started)
        waited = self._trainer.waited_seconds
        self._around.happen(Happening.TIMED_BEGIN, None)
        try:
            with self._around.timed():
                self._timed(limits, started)
        finally:
            record.waited_seconds = self._trainer.waited_seconds - waited
            self._around.happen(Happening.TIMED_END, None)

    def _warm_up(self, limits: Limits, started: float) -> None:
        record, times = self._record, list[float]()
        longest = WARMUP_LONGEST
        if limits.time_limit is not None:
            longest = min(longest, WARMUP_SHARE * limits.time_limit)
        while (elapsed := self._around.clock() - started) < longest:
            times.append(self._window("warm-up", record.window_steps))
            self._tell("warm-up", times[-1], elapsed / longest, longest - elapsed)
            record.warmup_steps += record.window_steps
            if len(times) == CALIBRATION_STEPS:
                record.window_steps = self._window_steps(statistics.median(times), limits)
            record.warmup_stable = statistics.is_stable(times[CALIBRATION_STEPS:])
            if record.warmup_stable and elapsed >= min(WARMUP_SECONDS, longest / 2):
                return

    @staticmethod
    def _window_steps(step_seconds: float, limits: Limits) -> int:
        steps = max(1, math.ceil(WINDOW_SECONDS / step_seconds))
        # A run of few steps still has enough windows for an interval.
        return steps if limits.steps is None else max(1, min(steps, limits.steps // 10))

    def _timed(self, limits: Limits, started: float) -> None:
        record, check_at = self._record, PRECISION_WINDOWS
        while True:
            if limits.steps is not None and record.timed_steps >= limits.steps:
                record.stopped_by = "steps"
                return
            now = self._around.clock()
            if limits.time_limit is not None and now - started >= limits.time_limit:
                record.stopped_by = "time-limit"
                return
            if limits.steps is None and len(record.steps) >= check_at:
                if self._is_precise(limits):
                    record.stopped_by = "precision"
                    return
                check_at = math.ceil(check_at * CHECK_GROWTH)
            count = record.window_steps
            if limits.steps is not None:
                count = min(count, limits.steps - record.timed_steps)
            record.steps.append(self._window("timed", count))
            record.timed_steps += count
            record.timed_seconds += count * record.steps[-1]
            self._tell_timed(limits, now - started)

    def _tell_timed(self, limits: Limits, elapsed: float) -> None:
        """Tell how far the timed steps are; an interval that gets narrow ends them sooner."""
        record, step = self._record, self._record.steps[-1]
        if limits.steps is not None:
            left = (limits.steps - record.timed_steps) * step
            self._tell("timed", step, record.timed_steps / limits.steps, left)
        elif limits.time_limit is not None:
            left = limits.time_limit - elapsed
            self._tell("timed", step, elapsed / limits.time_limit, left)
        else:
            self._tell("timed", step)

    def _tell(
        self,
        phase: str,
        step_seconds: float,
        done: float | None = None,
        left: float | None = None,
    ) -> None:
        self._around.progress(Moment(phase, step_seconds, done, left))

    def _is_precise(self, limits: Limits) -> bool:
        record = self._record
        if sum(record.steps) * record.window_steps < PRECISION_SECONDS:
            return False
        width = statistics.relative_half_width(record.steps, seed=limits.seed)
        return width <= limits.precision_target

    def learn(self, epochs: int, target_accuracy: float | None, into: Learning) -> None:
        """Train from the beginning for `epochs` passes, or until the target accuracy is met.

        Raises:
            Diverged: If a loss is NaN or infinite.
            Interrupted: If a stop was requested.
        """
        self._trainer.restart()
        for number in range(1, epochs + 1):
            self._around.happen(Happening.EPOCH_BEGIN, number)
            seconds = self._epoch(f"epoch {number}")
            self._around.happen(Happening.EPOCH_END, number)
            accuracy = self._trainer.accuracy()
            into.epochs.append(Epoch(self._record.loss_last, accuracy, seconds))
            self._around.happen(Happening.TESTED, number)
            if target_accuracy is not None and accuracy >= target_accuracy:
                into.time_to_accuracy_seconds = sum(epoch.seconds for epoch in into.epochs)
                return

    def _epoch(self, phase: str) -> float:
        seconds, left = 0.0, self._trainer.epoch_steps
        while left > 0:
            count = min(self._record.window_steps, left)
            step = self._window(phase, count)
            seconds += count * step
            left -= count
            self._tell(phase, step, 1 - left / self._trainer.epoch_steps, left * step)
        return seconds

    def _window(self, phase: str, steps: int) -> float:
        """Train `steps` steps and return the mean seconds of one."""
        self._around.check_stop()
        start = self._around.clock()
        loss = self._trainer.run(steps)
        seconds = (self._around.clock() - start) / steps
        if not math.isfinite(loss):
            self._record.loss_last = None
            raise Diverged(f"the loss became {loss} in {phase}", fix="lower --learning-rate")
        self._record.loss_last = loss
        return seconds
