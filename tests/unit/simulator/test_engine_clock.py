"""The clocks that a world may have."""

from __future__ import annotations

import threading

import pytest

from provision.simulator.engine.clock import ManualClock, RealClock


def test_actions_of_the_real_clock_run_in_the_order_of_their_times() -> None:
    clock, ran, done = RealClock(), [], threading.Event()
    clock.call_later(0.03, done.set)
    clock.call_later(0.02, lambda: ran.append("second"))
    clock.call_later(0.01, lambda: ran.append("first"))

    assert done.wait(20)
    assert ran == ["first", "second"]
    clock.close()


def test_the_real_clock_goes_on_after_it_had_nothing_to_do() -> None:
    clock = RealClock()
    for _ in range(3):
        done = threading.Event()
        clock.call_later(0.0, done.set)
        assert done.wait(20)
    clock.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_action_that_fails_does_not_take_the_others_with_it() -> None:
    clock, done = RealClock(), threading.Event()

    def fail() -> None:
        raise RuntimeError("a bug")

    clock.call_later(0.0, fail)
    clock.call_later(0.01, done.set)

    assert done.wait(20)
    clock.close()


def test_a_closed_clock_forgets_what_was_to_come() -> None:
    clock, ran = RealClock(), threading.Event()
    clock.call_later(0.05, ran.set)
    clock.close()
    clock.call_later(0.0, ran.set)

    assert not ran.wait(0.1)


def test_the_manual_clock_moves_by_hand_only() -> None:
    clock, ran = ManualClock(), []
    clock.call_later(5, lambda: ran.append(clock.monotonic()))
    clock.call_later(2, lambda: clock.call_later(1, lambda: ran.append(clock.monotonic())))
    clock.advance(4.5)
    assert ran == [3.0]

    clock.advance(1)
    assert ran == [3.0, 5.0]
    assert (clock.now() - ManualClock().now()).total_seconds() == 5.5


def test_a_sleeper_wakes_when_the_manual_clock_is_moved() -> None:
    clock = ManualClock()
    sleeper = threading.Thread(target=clock.sleep, args=(10,))
    sleeper.start()
    clock.advance(9)
    assert sleeper.is_alive()
    # Moves on until the sleeper has begun and slept: it counts from when it began.
    while sleeper.is_alive():
        clock.advance(1)
        sleeper.join(0.01)


def test_a_jumping_clock_never_waits_for_nothing() -> None:
    clock = ManualClock(jumps=True)
    with pytest.raises(RuntimeError):
        clock.wait(threading.Condition(), None)
