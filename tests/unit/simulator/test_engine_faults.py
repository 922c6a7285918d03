"""The fault plan at work, behind both doors."""

from __future__ import annotations

import threading

import pytest
from pyVmomi import vim

from provision.simulator.engine.clock import ManualClock
from tests.unit.simulator.small_world import Lab, MakeLab, moid


def test_a_planned_fault_is_raised_at_its_call_only(make_lab: MakeLab) -> None:
    lab = make_lab(faults=[{"on": "CreateFolder", "nth": 2, "fault": "DuplicateName"}])
    client = lab.connect()
    client.root.CreateFolder("a")

    with pytest.raises(vim.fault.DuplicateName) as caught:
        client.root.CreateFolder("b")
    assert moid(caught.value.object) == lab.root.moid
    client.root.CreateFolder("c")
    assert [child.read("name") for child in lab.root.children] == ["a", "c"]


def test_a_lost_response_has_done_its_work(make_lab: MakeLab) -> None:
    lab = make_lab(faults=[{"on": "CreateFolder", "nth": 1, "lose": "response"}])
    client = lab.connect()

    with pytest.raises(ConnectionError):
        client.root.CreateFolder("a")
    assert [child.read("name") for child in lab.root.children] == ["a"]
    assert client.root.childEntity[0].name == "a"


def test_terminated_sessions_are_gone_before_the_call(make_lab: MakeLab) -> None:
    lab = make_lab(faults=[{"on": "CreateFolder", "nth": 1, "terminate": "sessions"}])
    client = lab.connect()

    with pytest.raises(vim.fault.NotAuthenticated):
        client.root.CreateFolder("a")
    client.sessions.Login("admin", "secret")
    client.root.CreateFolder("a")
    assert len(lab.root.children) == 1


def test_an_outage_refuses_everybody_until_it_is_over(make_lab: MakeLab) -> None:
    clock = ManualClock()
    lab = make_lab(clock=clock, faults=[{"on": "CreateFolder", "nth": 1, "outage": "30 s"}])
    client, other = lab.connect(), lab.connect()
    for each in (client, other, client):
        with pytest.raises(ConnectionError):
            each.root.CreateFolder("a")
    clock.advance(30)
    client.root.CreateFolder("b")

    assert [child.read("name") for child in lab.root.children] == ["b"]


def test_a_call_that_hangs_ends_with_the_world(make_lab: MakeLab) -> None:
    lab = make_lab(faults=[{"on": "CreateFolder", "hang": True}])
    client = lab.connect()
    outcome: list[Exception] = []

    def create() -> None:
        with pytest.raises(ConnectionError) as caught:
            client.root.CreateFolder("a")
        outcome.append(caught.value)

    thread = threading.Thread(target=create)
    thread.start()
    while not lab.world.calls["CreateFolder"]:
        thread.join(0.01)
    lab.world.close()
    thread.join()

    assert len(outcome) == 1
    assert lab.root.children == []


def test_calls_are_counted_by_method(lab: Lab) -> None:
    client = lab.connect()
    client.root.CreateFolder("a")
    client.root.CreateFolder("b")

    assert lab.world.calls["CreateFolder"] == 2
    assert lab.world.calls["Login"] == 1


def test_a_call_takes_its_latency(make_lab: MakeLab) -> None:
    clock = ManualClock(jumps=True)
    lab = make_lab(clock=clock, latency={"default": "5 ms", "CreateFolder": "2 s"})
    client = lab.connect()
    before = clock.monotonic()
    client.root.CreateFolder("a")

    assert clock.monotonic() - before == pytest.approx(2.0)
