"""`--xla auto`: measure the training step with XLA and without, and take the faster."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, runtime_checkable

from payload import statistics
from payload.document import Json
from payload.errors import Interrupted, PayloadError
from payload.loop import Limits, Loop, Moment, Surroundings, Trainer
from payload.measurement import Measurement

TRIAL_SECONDS = 10.0
TRIAL_PRECISION = 0.02
"""A trial ends at this interval, or after its seconds; compilation is extra."""


@runtime_checkable
class Switchable(Trainer, Protocol):
    """A trainer whose step can be compiled either way."""

    def use_xla(self, *, on: bool) -> None:
        """Compile the step with XLA, or without."""
        ...


def faster(trainer: Switchable, batch_size: int, seed: int, around: Surroundings) -> list[Json]:
    """Leave the trainer at its beginning with the faster step, and return both trials.

    A step that XLA can't compile, or for which memory is too small then, has lost.

    Args:
        trainer: Has run no step.
        batch_size: Images per step.
        seed: Of the bootstrap.
        around: Clock, stop requests and progress.

    Raises:
        PayloadError: If neither step works, or a stop is requested.
    """
    trainer.remember_start()
    trials = []
    for on in (False, True):
        trainer.use_xla(on=on)
        trials.append(_trial(trainer, batch_size, seed, around, on=on))
        trainer.restart()
    best = max(trials, key=lambda trial: trial["images_per_second"] or 0)
    trainer.use_xla(on=best["xla"])
    return trials


def _trial(trainer: Trainer, batch_size: int, seed: int, around: Surroundings, *, on: bool) -> Json:
    name, measured, failure = f"xla {'on' if on else 'off'}", Measurement(), None

    def progress(moment: Moment) -> None:
        around.progress(replace(moment, phase=f"{name}, {moment.phase}"))

    # The machine is watched in the measurement itself only.
    surroundings = Surroundings(around.clock, around.check_stop, progress)
    try:
        Loop(trainer, measured, surroundings).measure(
            Limits(None, TRIAL_SECONDS, seed, TRIAL_PRECISION)
        )
    except Interrupted:
        raise
    except PayloadError as error:
        if not on:
            raise
        failure = error.reason
    speed = batch_size / statistics.median(measured.steps) if measured.steps else None
    return {
        "xla": on,
        "images_per_second": None if failure else speed,
        "first_step_seconds": measured.first_step_seconds,
        "failure": failure,
    }
