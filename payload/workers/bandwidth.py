"""The speed of the network between two workers: one TCP stream, in each direction."""

from __future__ import annotations

import time

from payload.workers.wire import Wire

CHUNK = bytes(2**20)
SECONDS = 0.25


def measure(wire: Wire) -> float:
    """Send, then receive; return bytes per second of the slower direction.

    One stream is what one connection of the engine can have. Fast networks (above some 20 Gbit/s)
    give more to several streams.

    Raises:
        WireBroken: If the other side is gone.
    """
    there = _push(wire)
    _pull(wire)
    return min(there, float(wire.receive()))


def answer(wire: Wire) -> None:
    """Be the other side of `measure`.

    Raises:
        WireBroken: If the other side is gone.
    """
    _pull(wire)
    wire.send(_push(wire))


def _push(wire: Wire) -> float:
    sent, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        wire.send_bytes(CHUNK)
        sent += len(CHUNK)
    wire.send_bytes(b"")
    wire.receive()  # until then all of it has arrived
    return sent / (time.perf_counter() - start)


def _pull(wire: Wire) -> None:
    while wire.receive_bytes():
        pass
    wire.send({"arrived": True})
