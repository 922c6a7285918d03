import json

from provision.guests.events import NOT_FINISHED, EventKind, Summary, parse_event

TOTALS = {"ok": 3, "changed": 1, "skipped": 2, "failures": 0, "unreachable": 0}


def add(summary: Summary, **fields: object) -> None:
    summary.add(parse_event(json.dumps(fields)))


def test_a_line_becomes_an_event() -> None:
    line = '{"kind": "failed", "host": "a", "task": "Measure", "message": "no", "role": "x"}'
    event = parse_event(line)
    assert (event.kind, event.host, event.message) == (EventKind.FAILED, "a", "no")


def test_one_host_fails_and_the_other_is_done() -> None:
    summary = Summary(["a", "b"])
    add(summary, kind="changed", host="a", task="one")
    add(summary, kind="failed", host="b", task="one", message="disk full")
    totals = {"a": TOTALS, "b": {**TOTALS, "failures": 1}}
    add(summary, kind="stats", totals=totals, custom={"a": {"vdl_gate": {"passed": True}}})
    results = summary.results()
    assert results["a"].done
    assert results["a"].data == {"vdl_gate": {"passed": True}}
    assert (results["a"].ok, results["a"].changed, results["a"].skipped) == (3, 1, 2)
    assert not results["b"].done
    assert (results["b"].failed_task, results["b"].message) == ("one", "disk full")


def test_an_ignored_or_rescued_failure_is_none() -> None:
    summary = Summary(["a", "b"])
    add(summary, kind="failed", host="a", task="one", message="no", ignored=True)
    add(summary, kind="failed", host="b", task="one", message="no")
    add(summary, kind="stats", totals={"a": TOTALS, "b": TOTALS})
    assert all(host.done and host.message is None for host in summary.results().values())


def test_an_unreachable_host_keeps_its_reason() -> None:
    summary = Summary(["a"])
    add(summary, kind="unreachable", host="a", task="Say hello", message="no route")
    add(summary, kind="stats", totals={"a": {**TOTALS, "unreachable": 1}})
    host = summary.results()["a"]
    assert host.unreachable
    assert host.message == "no route"


def test_a_run_that_was_cut_off_leaves_no_host_done() -> None:
    summary = Summary(["a", "b"])
    add(summary, kind="ok", host="a", task="one")
    add(summary, kind="failed", host="b", task="one", message="disk full")
    results = summary.results()
    assert not results["a"].done
    assert results["a"].message == NOT_FINISHED
    assert results["b"].message == "disk full"


def test_steps_on_the_controller_count_for_no_machine() -> None:
    summary = Summary(["a"])
    add(summary, kind="failed", host="localhost", task="Pack", message="no")
    assert list(summary.results()) == ["a"]
