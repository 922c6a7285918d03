"""The ceilings' probes: what they count, and how they choose a size."""

from collections.abc import Callable

import numpy as np
import pytest

from payload import engines
from payload.ceilings import Ceilings
from payload.convolution import Convolution
from payload.errors import Interrupted, OutOfMemory
from payload.probe import Timer, Work, per_second
from payload.settings import Settings
from payload.summary import achieved


class Device:
    """Needs `seconds_per_unit` for each unit of work, and has no room for more than `room`."""

    def __init__(self, seconds_per_unit: float, room: int = 10**9) -> None:
        self.now, self._speed, self._room = 0.0, seconds_per_unit, room
        self.calls: list[tuple[int, int]] = []

    def size(self, amount: int) -> Callable[[], Work]:
        def repeat(count: int) -> None:
            if amount > self._room:
                raise OutOfMemory("no room")
            self.calls.append((amount, count))
            self.now += count * amount * self._speed

        return lambda: Work({"shape": [amount]}, amount, repeat)

    def timer(self, seconds: float = 1.0) -> Timer:
        return Timer(lambda: self.now, lambda: None, seconds)


def test_a_size_that_is_long_enough_is_repeated() -> None:
    device = Device(0.001)
    found = per_second([device.size(n) for n in (10, 40, 160, 640)], device.timer())
    assert found is not None
    assert found["shape"] == [160]
    assert found["per_second"] == pytest.approx(1000)
    assert {amount for amount, _ in device.calls} == {10, 40, 160}


def test_the_largest_size_is_repeated_in_windows_where_all_are_short() -> None:
    device = Device(1e-6)
    found = per_second([device.size(n) for n in (10, 1000)], device.timer())
    assert found is not None
    assert found["per_second"] == pytest.approx(1e6)
    assert device.calls[-1] == (1000, 50)  # 50 ms
    assert found["windows"] == pytest.approx(20, abs=1)


def test_a_slow_device_is_timed_in_three_windows_at_least() -> None:
    device = Device(1.0)
    found = per_second([device.size(10)], device.timer())
    assert found is not None
    assert found["windows"] == 3


def test_a_size_that_does_not_fit_is_left_out() -> None:
    device = Device(1e-6, room=50)
    found = per_second([device.size(n) for n in (10, 40, 160)], device.timer())
    assert found is not None
    assert found["shape"] == [40]
    assert per_second([device.size(100)], device.timer()) is None


def test_a_stop_is_honoured_between_windows() -> None:
    device = Device(0.1)

    def stop() -> None:
        if device.now > 3:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        per_second([device.size(10)], Timer(lambda: device.now, stop, 1000.0))


@pytest.mark.parametrize("precision", ["fp32", "mixed_bf16"])
def test_real_ceilings_count_what_their_shapes_cost(precision: str) -> None:
    engine = engines.load("tensorflow")
    engine.set_up(Settings("mnist", 8, precision))
    clock = iter(np.arange(0, 10_000, 0.5))
    timer = Timer(lambda: float(next(clock)), lambda: None, 1.0)
    layer = Convolution(7, 5, 3, 4, (3, 3))
    names: list[str] = []
    found = Ceilings(engine, precision, timer, has_gpu=True).measure((layer,), names.append)
    # Each call takes half a second by this clock, so the smallest size is long enough.
    assert found["matmul"]["per_second"] == 2 * 512**3 / 0.5
    assert found["convolution"]["per_second"] == 2 * (3 * 3 * 3 * 4) * (7 * 5) / 0.5
    assert found["convolution"]["kernel"] == [3, 3, 3, 4]
    assert found["memory"]["per_second"] == 2 * 4 * 2**22 / 0.5
    assert found["host_to_device"]["per_second"] == 4 * 2**22 / 0.5
    assert names == ["matmul", "convolution", "memory", "host to device"]


def test_shares_are_of_training_operations() -> None:
    ceilings = {"matmul": {"per_second": 4e9}, "convolution": None}
    assert achieved(ceilings, flop_per_image=10**6, images_per_second=1000.0) == {
        "flop_per_second": 1e9,
        "of_matmul": 0.25,
        "of_convolution": None,
    }
