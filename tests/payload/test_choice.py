"""The choice between a step with XLA and one without, with a trainer that runs in no time."""

import pytest

from payload.errors import EngineFailed, Interrupted, OutOfMemory
from payload.loop import Moment, Surroundings
from payload.tuning import choice


class FakeTrainer:
    """Takes the seconds given for a step with XLA or without; some it can't take."""

    epoch_steps = 10
    waited_seconds = 0.0

    def __init__(self, *, off: float, on: float | Exception) -> None:
        self._seconds: dict[bool, float | Exception] = {False: off, True: on}
        self.now = 0.0
        self.xla = False
        self.steps_since_start = 0

    def use_xla(self, *, on: bool) -> None:
        self.xla = on

    def run(self, steps: int) -> float:
        seconds = self._seconds[self.xla]
        if isinstance(seconds, Exception):
            raise seconds
        self.now += steps * seconds
        self.steps_since_start += steps
        return 1.0

    def remember_start(self) -> None:
        assert self.steps_since_start == 0

    def restart(self) -> None:
        self.steps_since_start = 0

    def accuracy(self) -> float:
        return 0.5

    def digest(self) -> str:
        return ""

    def feed_images_per_second(self) -> float:
        return 1.0


def around(trainer: FakeTrainer, said: list[str]) -> Surroundings:
    def progress(moment: Moment) -> None:
        said.append(moment.phase)

    return Surroundings(lambda: trainer.now, lambda: None, progress)


@pytest.mark.parametrize(("off", "on", "xla"), [(0.1, 0.05, True), (0.05, 0.1, False)])
def test_the_faster_step_is_taken_from_the_beginning(off: float, on: float, xla: bool) -> None:  # noqa: FBT001 a table's column
    trainer, said = FakeTrainer(off=off, on=on), list[str]()
    trials = choice.faster(trainer, 8, 0, around(trainer, said))
    assert trainer.xla is xla
    assert trainer.steps_since_start == 0
    assert [trial["xla"] for trial in trials] == [False, True]
    assert [trial["images_per_second"] for trial in trials] == pytest.approx([8 / off, 8 / on])
    assert said[0] == "xla off, first step"
    assert said[-1] == "xla on, timed"


@pytest.mark.parametrize("error", [EngineFailed("no such kernel"), OutOfMemory("no room")])
def test_a_step_that_xla_can_not_do_has_lost(error: Exception) -> None:
    trainer = FakeTrainer(off=0.1, on=error)
    trials = choice.faster(trainer, 8, 0, around(trainer, []))
    assert trainer.xla is False
    assert trials[1]["images_per_second"] is None
    assert trials[1]["failure"] == f"{error.code}: {error}"  # type: ignore[attr-defined]


def test_a_stop_request_is_no_failure_of_xla() -> None:
    trainer = FakeTrainer(off=0.1, on=Interrupted("stopped by SIGTERM"))
    with pytest.raises(Interrupted):
        choice.faster(trainer, 8, 0, around(trainer, []))
