"""The loop with a trainer and a clock that run in no time."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator

import pytest

from payload.errors import Diverged, Interrupted
from payload.loop import Limits, Loop, Moment, Surroundings
from payload.measurement import Learning, Measurement


class FakeTrainer:
    """Takes the next of `seconds` for each step; its losses and accuracies are given."""

    epoch_steps = 10
    waited_seconds = 0.0

    def __init__(
        self,
        seconds: Iterable[float],
        losses: Iterable[float] = itertools.repeat(1.0),
        accuracies: Iterable[float] = (),
    ) -> None:
        self.now = 100.0
        self.steps = 0
        self.restarts = 0
        self._seconds: Iterator[float] = iter(seconds)
        self._losses: Iterator[float] = iter(losses)
        self._accuracies: Iterator[float] = iter(accuracies)

    def run(self, steps: int) -> float:
        for _ in range(steps):
            self.now += next(self._seconds)
            loss = next(self._losses)
        self.steps += steps
        return loss

    def restart(self) -> None:
        self.restarts += 1

    def accuracy(self) -> float:
        self.now += 1000.0  # must not count as training
        return next(self._accuracies)


class Signal:
    """A stop request that arrives after some checks."""

    def __init__(self, after: int) -> None:
        self.checks_left = after

    def check(self) -> None:
        self.checks_left -= 1
        if self.checks_left < 0:
            raise Interrupted("stopped by SIGTERM")


def loop_of(trainer: FakeTrainer, record: Measurement, stop_after: int = 10**9) -> Loop:
    signal = Signal(stop_after)
    around = Surroundings(lambda: trainer.now, signal.check, lambda _moment: None)
    return Loop(trainer, record, around)


def constant(first: float, then: float) -> Iterator[float]:
    return itertools.chain([first], itertools.repeat(then))


def test_the_first_step_is_kept_out_of_the_figures() -> None:
    record = Measurement()
    loop_of(FakeTrainer(constant(20.0, 0.1)), record).measure(Limits(10, None, seed=0))
    assert record.first_step_seconds == pytest.approx(20.0)
    assert record.steps == pytest.approx([0.1] * 10)
    assert record.stopped_by == "steps"


def test_steady_steps_stop_when_the_interval_is_narrow() -> None:
    record = Measurement()
    loop_of(FakeTrainer(constant(1.0, 0.125)), record).measure(Limits(None, 60.0, seed=0))
    assert record.stopped_by == "precision"
    assert record.warmup_stable
    assert len(record.steps) == 20


def test_uneven_steps_go_on_to_the_time_limit() -> None:
    record = Measurement()
    trainer = FakeTrainer(itertools.cycle([0.1, 0.3, 0.2, 0.7]))
    loop_of(trainer, record).measure(Limits(None, 12.0, seed=0))
    assert record.stopped_by == "time-limit"
    # The window that is running when the limit passes is finished; the first step is extra.
    assert 12.0 <= trainer.now - 100.0 - 0.1 < 12.0 + 0.7 + 1e-9


def test_a_warm_up_that_does_not_come_to_rest_ends_and_says_so() -> None:
    record = Measurement()
    slower_and_slower = (0.1 * 1.2**n for n in itertools.count())
    trainer = FakeTrainer(slower_and_slower)
    loop_of(trainer, record).measure(Limits(None, 9.0, seed=0))
    assert not record.warmup_stable
    assert record.warmup_steps > 0
    assert record.stopped_by == "time-limit"


def test_warm_up_goes_on_while_the_steps_get_faster() -> None:
    record = Measurement()
    getting_faster = itertools.chain(
        [1.0], [0.5 * 0.8**n for n in range(10)], itertools.repeat(0.05)
    )
    loop_of(FakeTrainer(getting_faster), record).measure(Limits(None, 60.0, seed=0))
    assert record.warmup_stable
    assert record.warmup_steps > 10
    assert max(record.steps) == pytest.approx(0.05)


def test_fast_steps_are_timed_in_windows() -> None:
    record = Measurement()
    loop_of(FakeTrainer(constant(1.0, 0.001)), record).measure(Limits(None, 60.0, seed=0))
    assert record.window_steps == pytest.approx(25, abs=1)
    assert record.timed_steps == record.window_steps * len(record.steps)
    assert record.steps == pytest.approx([0.001] * len(record.steps))


@pytest.mark.parametrize("steps", [3, 10, 101, 1000])
def test_as_many_steps_are_timed_as_were_asked_for(steps: int) -> None:
    record = Measurement()
    trainer = FakeTrainer(constant(1.0, 0.001))
    loop_of(trainer, record).measure(Limits(steps, None, seed=0))
    assert record.timed_steps == steps
    assert trainer.steps == 1 + record.warmup_steps + steps
    assert len(record.steps) >= 3


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_what_was_measured(bad: float) -> None:
    record = Measurement()
    losses = itertools.chain([2.5], itertools.repeat(2.0, 60), itertools.repeat(bad))
    with pytest.raises(Diverged, match="timed"):
        loop_of(FakeTrainer(constant(1.0, 0.1), losses), record).measure(Limits(100, None, seed=0))
    assert record.loss_first == 2.5
    assert record.loss_last is None
    assert 0 < len(record.steps) < 100


def test_a_stop_request_is_honoured_between_two_windows() -> None:
    record = Measurement()
    loop = loop_of(FakeTrainer(constant(1.0, 0.1)), record, stop_after=40)
    with pytest.raises(Interrupted):
        loop.measure(Limits(1000, None, seed=0))
    assert 1 + record.warmup_steps + record.timed_steps == 40


def test_epochs_start_anew_and_end_at_the_target() -> None:
    record, learning = Measurement(), Learning()
    trainer = FakeTrainer(itertools.repeat(0.1), accuracies=[0.5, 0.93, 0.97, 0.99])
    loop_of(trainer, record).learn(4, 0.95, learning)
    assert trainer.restarts == 1
    assert [epoch.accuracy for epoch in learning.epochs] == [0.5, 0.93, 0.97]
    assert learning.time_to_accuracy_seconds == pytest.approx(3 * 10 * 0.1)


def test_a_target_that_is_not_met_has_no_time() -> None:
    learning = Learning()
    trainer = FakeTrainer(itertools.repeat(0.1), accuracies=[0.5, 0.6])
    loop_of(trainer, Measurement(window_steps=4)).learn(2, 0.95, learning)
    assert len(learning.epochs) == 2
    assert trainer.steps == 20
    assert learning.time_to_accuracy_seconds is None


def test_only_the_timed_steps_are_watched() -> None:
    record, seen = Measurement(), list[int]()
    trainer = FakeTrainer(constant(1.0, 0.1))
    trainer.waited_seconds = 5.0  # before

    @contextlib.contextmanager
    def watched() -> Iterator[None]:
        seen.append(trainer.steps)
        yield
        trainer.waited_seconds += 0.5
        seen.append(trainer.steps)

    around = Surroundings(lambda: trainer.now, lambda: None, lambda _moment: None, watched)
    Loop(trainer, record, around).measure(Limits(10, None, seed=0))
    assert seen == [1 + record.warmup_steps, trainer.steps]
    assert record.timed_seconds == pytest.approx(1.0)
    assert record.waited_share == pytest.approx(0.5)


def moments_of(limits: Limits) -> list[Moment]:
    told: list[Moment] = []
    trainer = FakeTrainer(constant(1.0, 0.1), accuracies=[0.9])
    around = Surroundings(lambda: trainer.now, lambda: None, told.append)
    loop = Loop(trainer, Measurement(), around)
    loop.measure(limits)
    loop.learn(1, None, Learning())
    return told


def test_progress_tells_how_far_each_phase_is() -> None:
    told = moments_of(Limits(10, None, seed=0))
    assert list(dict.fromkeys(each.phase for each in told)) == [
        "first step",
        "warm-up",
        "timed",
        "epoch 1",
    ]
    timed = [each for each in told if each.phase == "timed"]
    assert [each.done for each in timed] == pytest.approx([n / 10 for n in range(1, 11)])
    assert timed[3].left_seconds == pytest.approx(0.6)
    assert told[-1].done == 1


def test_progress_up_to_a_time_limit_tells_what_is_left_of_it() -> None:
    timed = [each for each in moments_of(Limits(None, 60.0, seed=0)) if each.phase == "timed"]
    for each in timed:
        assert each.done is not None
        assert each.left_seconds == pytest.approx(60 * (1 - each.done))
