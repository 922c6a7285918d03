"""benchmark.yml, really run: the payload itself, and what happens around it."""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from provision.apply.interrupt import StopRequest
from provision.guests.configure import measure
from provision.guests.events import Event, EventKind
from tests.guests.fakepayload import make_payload
from tests.guests.sshd import ssh_lab


def run_of(name: str, batch_size: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "model": "mnist", "batch_size": batch_size, **more}


@pytest.mark.slow
def test_documents_and_gate_come_home(tmp_path: Path) -> None:
    results = tmp_path / "results"
    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        run = run_of("mnist-fp32-8", 8, precision="fp32", arguments=["--steps=3"])
        result = measure(lab.reach(), lab.settings(), [run], results)

    assert result.failed == ()
    assert result.hosts["lab-cpu-1"].data["vdl_runs"] == {"mnist-fp32-8": 0}
    document = json.loads((results / "lab-cpu-1" / "mnist-fp32-8.json").read_text())
    assert document["kind"] == "vdl-result"
    assert document["batch_size"] == 8
    gate = json.loads((results / "lab-cpu-1" / "gate.json").read_text())
    assert (gate["kind"], gate["passed"]) == ("vdl-gate", True)
    after = json.loads((results / "lab-cpu-1" / "after" / "mnist-fp32-8.json").read_text())
    assert (after["kind"], after["passed"], after["moment"]) == ("vdl-gate", True, "after")


@pytest.mark.parametrize("gate", ["absent", "broken"])
def test_a_gate_that_gives_no_verdict_after_a_run_is_not_passed(tmp_path: Path, gate: str) -> None:
    script = Path("playbooks/roles/benchmark/files/measure.py").read_text()
    package = make_payload(tmp_path / "source")
    if gate == "broken":
        (tmp_path / "gate.pyz").write_text("raise SystemExit('out of order')")
        (tmp_path / "gate-question.json").write_text("{}")
    words = [sys.executable, "-c", script, str(tmp_path), "one", "60", "60", "--batch-size=4"]
    subprocess.run(words, cwd=tmp_path, env={"PYTHONPATH": str(package.parent)}, check=True)
    assert (tmp_path / "results" / "one.json").exists()
    verdict = tmp_path / "results" / "after" / "one.json"
    assert verdict.exists() == (gate == "broken")
    if gate == "broken":
        assert json.loads(verdict.read_text())["passed"] is False


def test_a_run_that_fails_stops_no_other(tmp_path: Path) -> None:
    events: list[Event] = []
    results = tmp_path / "results"
    variables = {
        "payload_source": str(make_payload(tmp_path / "source")),
        "benchmark_timeout": 1,
    }
    runs = [run_of("too-big", 2), run_of("endless", 3), run_of("good", 4)]
    with ssh_lab(tmp_path, "lab-cpu-1", "lab-cpu-2") as lab:
        settings = lab.settings(tags=("benchmark",), variables=variables)
        result = measure(lab.reach(), settings, runs, results, on_event=events.append)

    for name in ("lab-cpu-1", "lab-cpu-2"):
        host = result.hosts[name]
        assert not host.done
        assert (host.message or "").startswith("too-big, endless:")
        assert host.data["vdl_runs"] == {"too-big": 1, "endless": 124, "good": 0}
        kept = sorted(path.name for path in (results / name).iterdir())
        assert kept == ["endless.log", "good.json", "too-big.log"]
    failed = {e.item: e.message for e in events if e.kind is EventKind.ITEM_FAILED}
    assert "out of memory" in (failed["too-big"] or "")
    assert "its time limit of 1 s" in (failed["endless"] or "")


def test_a_run_that_a_lost_connection_left_behind_is_ended(tmp_path: Path) -> None:
    results = tmp_path / "results"
    variables = {"payload_source": str(make_payload(tmp_path / "source"))}
    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        settings = lab.settings(tags=("benchmark",), variables=variables)
        measure(lab.reach(), settings, [run_of("first", 4)], results)
        home = lab.guests["lab-cpu-1"].payload_dir
        release = next((home / "releases").iterdir())
        script = Path("playbooks/roles/benchmark/files/measure.py").read_text()
        words = ["python3", "-c", script, str(home), "lost", "600", "600", "--batch-size=3"]
        lost = subprocess.Popen(words, env={"PYTHONPATH": str(release), "PATH": "/usr/bin:/bin"})
        while not (home / "results" / "lost.log").exists():
            time.sleep(0.05)
        result = measure(lab.reach(), settings, [run_of("second", 4)], results)
        assert lost.wait() != 0

    assert result.failed == ()
    assert (results / "lab-cpu-1" / "second.json").exists()


def test_what_was_measured_before_an_interruption_is_kept(tmp_path: Path) -> None:
    stop, begun, results = StopRequest(), Counter[str](), tmp_path / "results"

    def press(event: Event) -> None:
        if event.kind is EventKind.START:
            begun[event.task or ""] += 1
        if begun["Measure"] == 2:
            stop.request()

    variables = {"payload_source": str(make_payload(tmp_path / "source"))}
    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        settings = lab.settings(tags=("benchmark",), variables=variables)
        runs = [run_of("first", 4), run_of("endless", 3)]
        result = measure(lab.reach(), settings, runs, results, on_event=press, stop=stop)

    assert result.interrupted
    assert result.hosts["lab-cpu-1"].failed_task == "Measure"
    assert [path.name for path in (results / "lab-cpu-1").iterdir()] == ["first.json"]
