"""The workers of a job: who they are, what they agree on, and what the death of one does."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from payload.errors import PayloadError, WorkerLost, WorkersUnmet
from payload.workers import cluster, watch
from payload.workers.cluster import Cluster
from payload.workers.team import Team

TERMS = {"model": "mnist", "batch_size": 32}
CASES = json.loads((Path(__file__).parents[1] / "data/payload/workers.json").read_text())
# A worker of its own: comes, says so, and is then gone or silent at the test's will.
CHILD = """
import sys, time
from payload.workers import cluster
from payload.workers.team import Team
team = Team(cluster.parse(sys.argv[1], 1, {}), {"model": "mnist", "batch_size": 32}, 20,
            lambda: None, lambda loss: None)
print("here", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("case", CASES["right"], ids=lambda case: case["workers"])
def test_who_takes_part(case: dict[str, Any]) -> None:
    found = cluster.parse(case["workers"], case.get("rank"), variables(case))
    assert str(found.meeting) == case["meeting"]
    assert json.loads(found.tf_config) == case["config"]


@pytest.mark.parametrize("case", CASES["wrong"], ids=str)
def test_who_can_t_take_part(case: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=re.escape(case["says"])):
        cluster.parse(case["workers"], case.get("rank"), variables(case))


def variables(case: dict[str, Any]) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps(case["tf_config"])} if "tf_config" in case else {}


def free_ports(count: int) -> list[int]:
    """Ports in a row, of which the last is for the meeting."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        first = int(probe.getsockname()[1])
    return [first + n for n in range(count)]


def addresses(count: int) -> str:
    return ",".join(f"127.0.0.1:{port}" for port in free_ports(count))


def team(workers: str, rank: int, terms: Any = None, **more: Any) -> Team:
    losses: Callable[[str], None] = more.get("on_loss", lambda _: None)
    return Team(
        cluster.parse(workers, rank, {}), terms or TERMS, more.get("seconds", 20),
        lambda: None, losses,
    )  # fmt: skip


def together(count: int, work: Callable[[Team], Any]) -> list[Any]:
    """Let each of `count` workers do the same, each in a thread."""
    workers = addresses(count)

    def one(rank: int) -> Any:
        member = team(workers, rank)
        try:
            return work(member)
        finally:
            member.end()

    with ThreadPoolExecutor(count) as pool:
        return [future.result(30) for future in [pool.submit(one, n) for n in range(count)]]


def test_all_workers_see_the_same_times_and_what_each_has_to_say() -> None:
    def work(member: Team) -> Any:
        times = [member.clock() for _ in range(50)]
        assert times == sorted(times)
        return times, member.exchange({"rank": member.rank}), member.bandwidth()

    first, *others = together(3, work)
    assert others == [first, first]
    assert first[1] == [{"rank": 0}, {"rank": 1}, {"rank": 2}]
    assert first[2] > 1e6  # a loopback that moves less than a megabyte a second is none


def failures(*workers: Callable[[], Team]) -> list[str]:
    """Return how each of the workers failed."""
    with ThreadPoolExecutor(len(workers)) as pool:
        futures: list[Future[Team]] = [pool.submit(worker) for worker in workers]
        errors = [future.exception(30) for future in futures]
    assert all(isinstance(error, WorkersUnmet) for error in errors), errors
    return [str(error) for error in errors]


def test_workers_that_were_asked_for_other_things_do_not_begin() -> None:
    workers = addresses(2)
    other = TERMS | {"batch_size": 64}
    host, visitor = failures(lambda: team(workers, 0), lambda: team(workers, 1, other))
    assert "worker 1 (127.0.0.1) has other settings than worker 0: batch_size 64, not 32" in host
    assert host in visitor


def test_a_worker_that_does_not_come_is_named_with_the_ports_to_open() -> None:
    workers = addresses(3)
    host, visitor = failures(
        lambda: team(workers, 0, seconds=1.5), lambda: team(workers, 1, seconds=20)
    )
    assert "did not come within 2 s: 2 (127.0.0.1)" in host
    assert f"open TCP {', '.join(w.split(':')[1] for w in workers.split(','))}" in host
    assert "worker 0 (127.0.0.1) began nothing" in visitor


def test_worker_0_that_is_not_there_is_named() -> None:
    (alone,) = failures(lambda: team(addresses(2), 1, seconds=1))
    assert "worker 0 could not be reached" in alone


def test_strangers_at_the_meeting_are_sent_away() -> None:
    workers = addresses(2)
    port = Cluster(cluster.parse(workers, 0, {}).workers, 0).meeting.port

    def knock() -> None:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                stranger = socket.create_connection(("127.0.0.1", port))
            except OSError:
                time.sleep(0.02)
                continue
            with stranger:
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
                with suppress(ConnectionResetError):
                    assert stranger.recv(1) == b""
                return

    with ThreadPoolExecutor(3) as pool:
        host = pool.submit(team, workers, 0)
        pool.submit(knock).result(20)
        visitor = pool.submit(team, workers, 1)
        for member in (host.result(20), visitor.result(20)):
            member.end()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (signal.SIGKILL, "worker 1 (127.0.0.1) was lost: "),
        (signal.SIGSTOP, "worker 1 (127.0.0.1) was lost: it is silent"),
    ],
    ids=["dies", "vanishes"],
)
def test_a_worker_that_goes_away_is_noticed_by_name(
    how: signal.Signals, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SILENCE_SECONDS", 3.0)
    workers = addresses(2)
    child = subprocess.Popen([sys.executable, "-c", CHILD, workers], stdout=subprocess.PIPE)
    noticed = threading.Event()
    try:
        member = team(workers, 0, on_loss=lambda _: noticed.set())
        assert child.stdout is not None
        assert child.stdout.readline() == b"here\n"
        child.send_signal(how)
        assert noticed.wait(10)
        with pytest.raises(WorkerLost) as lost:
            member.exchange("still here?")
        assert said in str(lost.value)
        member.end()
    finally:
        child.kill()
        child.communicate()


def test_a_failure_of_one_worker_is_told_to_all_with_its_reason() -> None:
    def work(member: Team) -> str:
        if member.rank == 2:
            member.end("out-of-memory: no room for 13 MB")
            return ""
        with pytest.raises(PayloadError) as caught:
            member.exchange(member.rank)
        return str(caught.value)

    said = together(3, work)
    assert said[:2] == ["worker 2 (127.0.0.1) failed: out-of-memory: no room for 13 MB"] * 2
