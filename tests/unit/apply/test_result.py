import pytest

from provision.apply.events import Event, Phase, line
from provision.apply.pipeline import Step
from provision.apply.result import MachineResult, Outcome, Result
from provision.errors import Interrupted, NoConnection, PartlyDone, VdlError
from provision.plan.model import ActionKind


def result(*outcomes: Outcome, interrupted: bool = False, halted: VdlError | None = None) -> Result:
    machines = tuple(
        MachineResult(f"m-{n}", ActionKind.CREATE, outcome, Step.CLONE)
        for n, outcome in enumerate(outcomes)
    )
    return Result("vroom", machines, interrupted, halted)


@pytest.mark.parametrize(
    ("outcomes", "kind"),
    [
        ((), type(None)),
        ((Outcome.DONE, Outcome.UNCHANGED), type(None)),
        ((Outcome.DONE, Outcome.FAILED), PartlyDone),
        ((Outcome.DONE, Outcome.UNKNOWN), PartlyDone),
        ((Outcome.UNCHANGED, Outcome.FAILED), VdlError),
        ((Outcome.UNKNOWN,), VdlError),
        ((Outcome.NOT_STARTED,), VdlError),
    ],
)
def test_what_the_exit_code_follows_from(outcomes: tuple[Outcome, ...], kind: type) -> None:
    one = result(*outcomes)
    assert type(one.error()) is kind
    assert [one.ok, one.partial, one.failed].count(True) == 1


def test_an_interruption_outranks_the_rest() -> None:
    away = NoConnection("login refused")
    assert result(Outcome.UNKNOWN, halted=away).error() is away
    error = result(Outcome.DONE, Outcome.STOPPED, interrupted=True, halted=away).error()
    assert isinstance(error, Interrupted)
    assert error.what == "1 done, 1 stopped"


def test_an_event_is_one_line() -> None:
    event = Event("vroom-cpu-1", Step.CLONE, Phase.FAILED, 1.26, "clone failed\n  why: full")
    assert line(event) == "vroom-cpu-1 clone failed (1.3 s): clone failed why: full"
    assert (
        line(Event("vroom-cpu-1", Step.POWER_ON, Phase.STARTED)) == "vroom-cpu-1 power on started"
    )
