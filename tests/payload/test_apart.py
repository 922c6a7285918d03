"""Work in a child process: what is left of it, and what signals do. No engine is needed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.payload.processes import gone

PARENT = """
import ctypes, os, resource, signal, sys, time
from payload.apart.process import do_apart
from payload.interrupt import stop_requests

def report(what):
    print(what, flush=True)

def run(work, **options):
    with stop_requests() as stop:
        return do_apart(work, stop, report, report, look=lambda _number: None, **options)
"""
BAD_ALLOC = """
def work(channel, stop):
    channel.note({"steps": [0.5] * 100_000})
    ctypes.CDLL("libstdc++.so.6")._Znwm(ctypes.c_size_t(1 << 40))  # operator new
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
ended = run(work)
print(ended.code, len(ended.note["steps"]), "bad_alloc" in ended.said)
"""
KILLED = """
def work(channel, stop):
    channel.note(1)
    channel.note(2)
    os.kill(os.getpid(), signal.SIGKILL)
print(run(work))
"""
CAUGHT = """
def work(channel, stop):
    print("terminal:", sys.stderr.isatty(), file=sys.stderr)
    os.write(2, b"from C\\n")
print(run(work, catch=True).said.split("\\n"))
"""
TOO_SLOW = """
print(run(lambda channel, stop: time.sleep(60), seconds=0.5))
"""
LINGERS = """
def work(channel, stop):
    channel.deliver("a result")
    time.sleep(60)
print(run(work))
"""
RAISES = """
def work(channel, stop):
    raise KeyError("absent")
print(run(work).code)
"""
MANY = """
def work(channel, stop):
    for number in range(3):
        channel.deliver([number] * 50_000)
with stop_requests() as stop:
    do_apart(work, stop, lambda result: report(len(result)), report, look=lambda _number: None)
"""
THREADS = """
import threading
threading.Thread(target=time.sleep, args=[60], daemon=True).start()
try:
    run(lambda channel, stop: None)
except RuntimeError as refused:
    print(refused)
"""
WAITS = """
def work(channel, stop):
    report(os.getpid())
    while stop.signal is None:
        time.sleep(0.01)
    time.sleep(0.5)  # a signal that comes twice would end it here
    channel.deliver(f"stopped by {stop.signal.name}")
print(run(work).code)
"""


def program(body: str) -> list[str]:
    return [sys.executable, "-c", PARENT + body]


@pytest.mark.parametrize(
    ("body", "printed"),
    [
        (BAD_ALLOC, "-6 100000 True\n"),
        (KILLED, "Ended(code=-9, note=2, said='')\n"),
        (CAUGHT, "['terminal: False', 'from C', '']\n"),
        (TOO_SLOW, "Ended(code=None, note=None, said='')\n"),
        (LINGERS, "a result\nEnded(code=None, note=None, said='')\n"),
        (RAISES, "1\n"),
        (MANY, "50000\n50000\n50000\n"),
        (THREADS, "a process with threads can't be forked\n"),
    ],
    ids=["bad_alloc", "killed", "caught", "too slow", "lingers", "raises", "many", "threads"],
)
def test_what_is_left_of_a_child(body: str, printed: str) -> None:
    done = subprocess.run(program(body), check=False, capture_output=True, text=True, timeout=30)
    assert done.stdout == printed, done.stderr


def test_what_an_engine_says_and_a_traceback_are_passed_on() -> None:
    done = subprocess.run(program(RAISES), check=True, capture_output=True, text=True)
    assert done.stderr.endswith("KeyError: 'absent'\n")
    done = subprocess.run(program(BAD_ALLOC), check=True, capture_output=True, text=True)
    assert "std::bad_alloc" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("send", [os.killpg, os.kill])
def test_a_signal_is_one_request_of_the_child_however_often_it_hears_it(
    number: signal.Signals, send: Callable[[int, int], None]
) -> None:
    with subprocess.Popen(
        program(WAITS), stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        send(parent.pid, number)
        assert parent.stdout.read() == f"stopped by {number.name}\n0\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_child_does_not_outlive_its_parent(number: signal.Signals) -> None:
    stubborn = WAITS.replace("while stop.signal is None:", "while True:")
    with subprocess.Popen(
        program(stubborn), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(number)  # a request to stop, which this child does not honour
        time.sleep(0.5)
        parent.send_signal(number)
        parent.wait(20)
    assert gone(child)


def test_the_bar_stays_live_where_a_terminal_is() -> None:
    body = """
def work(channel, stop):
    print("terminal:", sys.stderr.isatty(), file=sys.stderr)
run(work)
"""
    master, terminal = os.openpty()
    done = subprocess.run(program(body), check=False, stderr=terminal)
    os.close(terminal)
    assert (done.returncode, os.read(master, 100)) == (0, b"terminal: True\r\n")
    os.close(master)
