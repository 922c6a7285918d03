"""How the workers of a job find each other: all come to worker 0 within a deadline, or none."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from payload.errors import WorkersUnmet
from payload.workers.cluster import Cluster
from payload.workers.wire import Wire, WireBroken

Json = dict[str, Any]

HELLO_SECONDS = 5.0
RETRY_SECONDS = 0.2
_KIND = "vdl-worker"


@dataclass(frozen=True, slots=True)
class Lines:
    """The two connections to another worker."""

    rank: int
    talk: Wire
    watch: Wire

    def close(self) -> None:
        """Close both."""
        self.talk.close()
        self.watch.close()


def meet(
    cluster: Cluster, terms: Json, seconds: float, check_stop: Callable[[], None]
) -> tuple[Lines, ...]:
    """Return the connections to all others (worker 0) or to worker 0 (all others).

    Args:
        cluster: Who takes part.
        terms: What all must agree on to the letter, such as model and batch size.
        seconds: How long to wait for everybody.
        check_stop: Raises `Interrupted` when the run is to end.

    Raises:
        WorkersUnmet: If somebody is missing at the deadline, or has other terms.
    """
    deadline = time.monotonic() + seconds
    if cluster.rank == 0:
        return _Host(cluster, terms, check_stop).gather(deadline, seconds)
    return (_Visitor(cluster, terms, check_stop).come(deadline, seconds),)


class _Host:
    """Worker 0: lets the others in."""

    def __init__(self, cluster: Cluster, terms: Json, check_stop: Callable[[], None]) -> None:
        self._cluster, self._terms, self._check_stop = cluster, terms, check_stop
        self._wires: dict[tuple[int, str], Wire] = {}

    def gather(self, deadline: float, seconds: float) -> tuple[Lines, ...]:
        try:
            self._let_in(deadline)
            self._check_all_are_here(seconds)
        except BaseException as error:
            self._send_home(str(error))
            raise
        for wire in self._wires.values():
            wire.send({"go": True})
        return tuple(
            Lines(rank, self._wires[rank, "talk"], self._wires[rank, "watch"])
            for rank in range(1, self._cluster.size)
        )

    def _check_all_are_here(self, seconds: float) -> None:
        if missing := self._missing():
            names = ", ".join(f"{r} ({self._cluster.workers[r].host})" for r in missing)
            raise WorkersUnmet(
                f"workers did not come within {seconds:.0f} s: {names}",
                fix=f"look at what they say, and open TCP {self._cluster.ports} between them",
            )

    def _let_in(self, deadline: float) -> None:
        meeting = self._cluster.meeting
        family = socket.AF_INET6 if ":" in meeting.host else socket.AF_INET
        try:
            # On all addresses: a host's name may lead to another one here than elsewhere.
            server = socket.create_server(("", meeting.port), family=family)
        except OSError as error:
            raise WorkersUnmet(f"port {meeting.port} can't be listened on: {error}") from error
        with server:
            while self._missing() and (left := deadline - time.monotonic()) > 0:
                self._check_stop()
                server.settimeout(min(left, RETRY_SECONDS))
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                self._greet(Wire(connection))

    def _greet(self, wire: Wire) -> None:
        wire.set_timeout(HELLO_SECONDS)
        try:
            hello = wire.receive()
            known = isinstance(hello, dict) and hello.get("kind") == _KIND
            place = (hello["rank"], hello["line"]) if known else None
        except (WireBroken, KeyError):
            place = None
        if place is None or place in self._wires or not 0 < place[0] < self._cluster.size:
            wire.close()  # a port scanner, or a worker of another job
            return
        wire.set_timeout(None)
        self._wires[place] = wire
        if place[0] in self._missing():
            return  # its other line is on its way, and is where it waits for an answer
        if different := _differences(self._terms, hello["terms"]):
            raise WorkersUnmet(
                f"worker {place[0]} ({self._cluster.workers[place[0]].host}) has other settings "
                f"than worker 0: {different}"
            )

    def _missing(self) -> list[int]:
        return [
            rank
            for rank in range(1, self._cluster.size)
            if not {(rank, "talk"), (rank, "watch")} <= self._wires.keys()
        ]

    def _send_home(self, why: str) -> None:
        for wire in self._wires.values():
            with suppress(WireBroken):  # it left by itself
                wire.send({"refused": why})
            wire.close()


class _Visitor:
    """Any other worker: comes to worker 0."""

    def __init__(self, cluster: Cluster, terms: Json, check_stop: Callable[[], None]) -> None:
        self._cluster, self._terms, self._check_stop = cluster, terms, check_stop

    def come(self, deadline: float, seconds: float) -> Lines:
        with ExitStack() as unless_all_goes_well:
            wires = []
            for name in ("talk", "watch"):
                wires.append(self._line(name, deadline, seconds))
                unless_all_goes_well.callback(wires[-1].close)
            for wire in wires:
                self._await_go(wire, max(0.0, deadline - time.monotonic()) + HELLO_SECONDS)
            unless_all_goes_well.pop_all()
        return Lines(0, *wires)

    def _await_go(self, wire: Wire, seconds: float) -> None:
        wire.set_timeout(seconds)
        try:
            answer = wire.receive()
        except WireBroken as broken:
            raise WorkersUnmet(f"worker 0 ({self._host}) went away: {broken}") from broken
        if "go" not in answer:
            raise WorkersUnmet(f"worker 0 ({self._host}) began nothing: {answer['refused']}")
        wire.set_timeout(None)

    def _line(self, name: str, deadline: float, seconds: float) -> Wire:
        hello = {"kind": _KIND, "rank": self._cluster.rank, "line": name, "terms": self._terms}
        meeting = self._cluster.meeting
        why = "no time was left"
        while (left := deadline - time.monotonic()) > 0:
            self._check_stop()
            try:
                connection = socket.create_connection((meeting.host, meeting.port), min(left, 5.0))
            except OSError as error:
                why = str(error)
                time.sleep(min(left, RETRY_SECONDS))
                continue
            wire = Wire(connection)
            try:
                wire.send(hello)
            except WireBroken as broken:
                wire.close()
                why = str(broken)
                continue
            return wire
        raise WorkersUnmet(
            f"worker 0 could not be reached at {meeting} within {seconds:.0f} s: {why}",
            fix=f"look at what it says, and open TCP {self._cluster.ports} between the workers",
        )

    @property
    def _host(self) -> str:
        return self._cluster.workers[0].host


def _differences(ours: Json, theirs: Json) -> str:
    return ", ".join(
        f"{key} {theirs.get(key)!r}, not {ours.get(key)!r}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    )
