import os
import signal

import pytest

from payload.errors import Interrupted
from payload.interrupt import SIGNALS, stop_requests


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_a_request_and_a_second_one_has_its_usual_effect(
    number: signal.Signals,
) -> None:
    usual = signal.getsignal(number)
    with stop_requests() as stop:
        stop.check()
        os.kill(os.getpid(), number)
        assert signal.getsignal(number) is usual
        with pytest.raises(Interrupted, match=f"stopped by {number.name}"):
            stop.check()


def test_handlers_are_put_back() -> None:
    usual = [signal.getsignal(number) for number in SIGNALS]
    with stop_requests():
        assert [signal.getsignal(number) for number in SIGNALS] != usual
    assert [signal.getsignal(number) for number in SIGNALS] == usual
