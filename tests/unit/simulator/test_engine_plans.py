"""Fault plans and latencies as a world file writes them."""

from __future__ import annotations

from typing import Any

import pytest
from pyVmomi import VmomiSupport, vim, vmodl

from provision.errors import SpecError
from provision.simulator.engine.faultplan import FaultPlan, fault_type, make_fault
from provision.simulator.engine.latency import Latency, Span, parse_seconds, parse_span

CLONE = "CloneVM_Task"


def hits(entry: dict[str, object], calls: int) -> list[int]:
    """Return the numbers of those calls that the entry hits."""
    plan = FaultPlan([{"on": CLONE, "fault": "NoDiskSpace", **entry}])
    return [n for n in range(1, calls + 1) if plan.meet(CLONE).fault]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [({"nth": 3}, [3]), ({"every": 3}, [3, 6, 9]), ({}, list(range(1, 11)))],
)
def test_entries_hit_the_calls_that_they_name(
    entry: dict[str, object], expected: list[int]
) -> None:
    assert hits(entry, 10) == expected


def test_a_rate_is_drawn_from_its_seed() -> None:
    first = hits({"rate": 0.3, "seed": 1}, 1000)

    assert first == hits({"rate": 0.3, "seed": 1}, 1000)
    assert first != hits({"rate": 0.3, "seed": 2}, 1000)
    assert 200 < len(first) < 400
    assert hits({"rate": 0}, 100) == []


def test_other_methods_are_not_counted() -> None:
    plan = FaultPlan([{"on": CLONE, "nth": 1, "fault": "NoDiskSpace"}])
    plan.meet("PowerOnVM_Task")

    assert plan.meet(CLONE).fault is vim.fault.NoDiskSpace


def test_the_first_entry_that_hits_counts() -> None:
    plan = FaultPlan(
        [
            {"on": CLONE, "nth": 2, "fault": "NoDiskSpace"},
            {"on": CLONE, "every": 1, "fault": "DuplicateName"},
        ]
    )

    kinds = [plan.meet(CLONE).fault for _ in range(3)]
    assert kinds == [vim.fault.DuplicateName, vim.fault.NoDiskSpace, vim.fault.DuplicateName]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"on": CLONE, "nth": 1, "fualt": "NoDiskSpace"}, "unknown key 'fualt'"),
        ({"on": "CloneVM_Tsk", "fault": "NoDiskSpace"}, "did you mean CloneVM_Task"),
        ({"fault": "NoDiskSpace"}, "None is no method"),
        ({"on": CLONE, "nth": 1}, "one effect"),
        ({"on": CLONE, "hang": True, "lose": "response"}, "one effect"),
        ({"on": CLONE, "nth": 1, "every": 2, "hang": True}, "exclude each other"),
        ({"on": CLONE, "nth": 0, "hang": True}, "nth 0"),
        ({"on": CLONE, "nth": "x", "hang": True}, "nth 'x'"),
        ({"on": CLONE, "rate": 2, "hang": True}, "rate 2"),
        ({"on": CLONE, "rate": 0.1, "seed": "x", "hang": True}, "seed 'x'"),
        ({"on": CLONE, "fault": "NoSuchFault"}, "no fault of vSphere"),
        ({"on": CLONE, "fault": "VirtualMachine"}, "no fault of vSphere"),
        ({"on": CLONE, "lose": "request"}, "lose: response"),
        ({"on": CLONE, "hang": False}, "hang: True"),
        ({"on": CLONE, "outage": "soon"}, "no duration"),
        ({"on": CLONE, "outage": "1-2 s"}, "is a range"),
    ],
)
def test_a_wrong_entry_says_what_is_wrong(entry: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=r"faults\[0\]") as caught:
        FaultPlan([entry])
    assert message in caught.value.text()


@pytest.mark.parametrize("name", ["NoDiskSpace", "vim.fault.NoDiskSpace"])
def test_fault_names_go_with_or_without_package(name: str) -> None:
    assert fault_type(name, "test") is vim.fault.NoDiskSpace
    assert fault_type("SystemError", "test") is vmodl.fault.SystemError


@pytest.mark.parametrize(
    "name",
    ["NoDiskSpace", "InvalidPowerState", "ManagedObjectNotFound", "InsufficientResourcesFault"],
)
def test_a_made_fault_has_all_that_is_required(name: str) -> None:
    fault: Any = make_fault(fault_type(name, "test"), vim.VirtualMachine("vm-1"), CLONE)

    required = [
        info.name
        for info in fault._GetPropertyList()  # noqa: SLF001 - public, says pyVmomi
        if not info.flags & VmomiSupport.F_OPTIONAL
    ]
    assert [name for name in required if getattr(fault, name) is None] == []
    assert CLONE in fault.msg


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("5 ms", Span(0.005, 0.005)),
        ("1s", Span(1.0, 1.0)),
        ("2 min", Span(120.0, 120.0)),
        ("0.05-5 s", Span(0.05, 5.0)),
    ],
)
def test_durations_are_read_with_their_units(text: str, span: Span) -> None:
    assert parse_span(text, "test") == span


@pytest.mark.parametrize("text", ["5", "fast", "", "5 h", 5, None, "5-1 s", "-1 s"])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(SpecError, match="test"):
        parse_span(text, "test")


def test_one_duration_is_no_range() -> None:
    assert parse_seconds("250 ms", "test") == 0.25


def test_a_task_has_its_own_latency_and_its_call_the_default() -> None:
    latency = Latency.parse({"default": "5 ms", CLONE: "1 s", "Login": "2 s"})

    assert latency.of_call(CLONE) == 0.005
    assert latency.of_task(CLONE) == 1.0
    assert latency.of_call("Login") == 2.0
    assert latency.of_task("PowerOnVM_Task") == 0.005


def test_ranges_are_drawn_from_the_seed() -> None:
    def draw(seed: int) -> list[float]:
        latency = Latency.parse({"default": "0.05-5 s"}, seed=seed)
        return [latency.of_call("Login") for _ in range(20)]

    assert draw(1) == draw(1) != draw(2)
    assert all(0.05 <= seconds <= 5 for seconds in draw(1))


def test_a_wrong_latency_names_its_method() -> None:
    with pytest.raises(SpecError, match="latency CloneVM_Task"):
        Latency.parse({CLONE: "soon"})
