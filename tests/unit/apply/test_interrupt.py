import os
import signal
import threading

from provision.apply.events import Event, Phase
from provision.apply.interrupt import StopRequest, stop_on_signals
from provision.apply.pipeline import Step
from provision.apply.result import Outcome
from provision.errors import Interrupted
from provision.vsphere.port import ActionFailed
from tests.unit.apply.site import Hold, Site


def test_a_stop_lets_running_tasks_end_and_starts_no_more(site: Site, barrier: Hold) -> None:
    stop, clone = StopRequest(), barrier("clone", "cpu-1")

    def ask_then_let_go() -> None:
        assert clone.reached.wait(5)
        stop.request()
        clone.go.set()

    user = threading.Thread(target=ask_then_let_go)
    user.start()
    result = site.run(site.create("cpu-1"), site.create("cpu-2"), parallel=1, stop=stop)
    user.join()
    first, second = result.machines
    assert (first.outcome, first.step) == (Outcome.STOPPED, Step.PREPARE_HARDWARE)
    assert first.vm_id == "vm-vroom-cpu-1"
    assert (second.outcome, second.step) == (Outcome.NOT_STARTED, Step.CLONE)
    assert isinstance(result.error(), Interrupted)
    assert [name for name, _ in site.vcenter.calls] == ["clone"]


def test_a_second_stop_waits_for_nothing(site: Site, barrier: Hold) -> None:
    stop, clone = StopRequest(), barrier("clone", "cpu-1")

    def ask_twice() -> None:
        assert clone.reached.wait(5)
        stop.request()
        stop.request()

    user = threading.Thread(target=ask_twice)
    user.start()
    result = site.run(site.create("cpu-1"), stop=stop)
    user.join()
    assert not clone.go.is_set()
    machine = site.one(result, "cpu-1")
    assert (machine.outcome, machine.step) == (Outcome.UNKNOWN, Step.CLONE)
    assert result.interrupted


def test_a_stop_does_not_sit_out_a_guest_that_boots(site: Site, barrier: Hold) -> None:
    stop, guest = StopRequest(), barrier("wait_for_guest", "cpu-1")

    def ask() -> None:
        assert guest.reached.wait(5)
        stop.request()

    user = threading.Thread(target=ask)
    user.start()
    machine = site.one(site.run(site.create("cpu-1"), stop=stop), "cpu-1")
    user.join()
    assert not guest.go.is_set()
    assert (machine.outcome, machine.step) == (Outcome.STOPPED, Step.GUEST)


def test_a_failure_during_a_stop_is_still_a_failure(
    site: Site, barrier: Hold, refused: ActionFailed
) -> None:
    stop, attach = StopRequest(), barrier("attach", "cpu-1")
    site.vcenter.refuse["attach", "vroom-cpu-1"] = refused

    def ask_then_let_go() -> None:
        assert attach.reached.wait(5)
        stop.request()
        attach.go.set()

    user = threading.Thread(target=ask_then_let_go)
    user.start()
    machine = site.one(site.run(site.create("cpu-1"), stop=stop), "cpu-1")
    user.join()
    assert (machine.outcome, machine.step) == (Outcome.FAILED, Step.ATTACH)
    assert machine.vm_id == "vm-vroom-cpu-1"


def test_a_stop_before_the_clean_up_starts_keeps_the_failure(
    site: Site, refused: ActionFailed
) -> None:
    stop = StopRequest()
    site.vcenter.refuse["attach", "vroom-cpu-1"] = refused

    def ask_at_the_failure(event: Event) -> None:
        if event.phase is Phase.FAILED:
            stop.request()

    site.react = ask_at_the_failure
    machine = site.one(site.run(site.create("cpu-1"), stop=stop), "cpu-1")
    assert (machine.outcome, machine.step) == (Outcome.FAILED, Step.ATTACH)
    assert site.vcenter.count("destroy") == 0


def test_a_stop_when_all_is_done_is_no_interruption(site: Site) -> None:
    stop = StopRequest()
    site.react = lambda event: (
        stop.request() if (event.step, event.phase) == (Step.GUEST, Phase.DONE) else None
    )
    assert not site.run(site.create("cpu-1"), stop=stop).interrupted


def test_signals_become_requests_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_on_signals(StopRequest()) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        assert not stop.at_once
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.at_once
    assert signal.getsignal(signal.SIGINT) is before


def test_listeners_leave_with_their_block() -> None:
    stop, heard = StopRequest(), []
    with stop.listening(lambda: heard.append(1)):
        stop.request()
    stop.request()
    assert heard == [1]
