"""Fault 35: the licence server is away, on SSH guests that play vGPUs."""

from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

from provision.bench.compare import compare
from provision.bench.results import read_results
from provision.bench.schedule import bench
from provision.plan.snapshot import GpuDevice
from provision.report.gates import doubts
from provision.report.page import write_report
from provision.report.table import render
from provision.spec.model import BenchmarkRun
from tests.gate.states import install, load, turn
from tests.guests.sshd import SshGuest, ssh_lab

LICENSED, UNLICENSED = load("a100-vgpu"), load("a100-vgpu-unlicensed")
PLAYED = "plays-gpus"
DOCUMENT = {
    "version": 1, "kind": "vdl-result", "model": "mnist", "batch_size": 64, "precision": "fp32",
    "engine": "tensorflow", "image_shape": [28, 28, 1], "data": {"source": "synthetic"},
    "throughput": {"median": 1000.0, "low": 990.0, "high": 1010.0}, "valid": True, "reasons": [],
    "environment": {},
}  # fmt: skip
# Measures at once; in a guest with the file `lose`, the licence is lost meanwhile.
PAYLOAD = """\
import json, pathlib, sys
home = pathlib.Path.home()
if (home / "lose").exists():
    (home / "plays-gpus/state").write_text("a100-vgpu-unlicensed")
pathlib.Path(sys.argv[-1]).write_text(json.dumps({document}))
"""


def play_vgpu(guest: SshGuest, *, licensed: bool) -> None:
    """Give the VM a vGPU, and the guest programs that answer as if it were there."""
    guest.gpus = (GpuDevice(11, "vgpu", "grid_a100d-10c"),)
    stage = guest.home / PLAYED
    install(stage, LICENSED, UNLICENSED, programs=guest.folder / "bin")
    turn(stage, LICENSED if licensed else UNLICENSED)


def make_payload(folder: Path) -> Path:
    package = folder / "payload"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    text = PAYLOAD.format(document=DOCUMENT)
    (package / "__main__.py").write_text(text)
    return package


def test_fault_35_every_result_of_a_machine_without_a_licence_is_invalid(tmp_path: Path) -> None:
    variables = {
        "payload_source": str(make_payload(tmp_path / "source")),
        "verify_played": f"~/{PLAYED}",
        "verify_strict": False,
    }
    with ssh_lab(tmp_path, "lab-good-1", "lab-never-1", "lab-lost-1") as lab:
        for name, guest in lab.guests.items():
            play_vgpu(guest, licensed=name != "lab-never-1")
        (lab.guests["lab-lost-1"].home / "lose").touch()
        runs = (BenchmarkRun.model_validate({"model": "mnist"}),)
        asked = lab.lab.model_copy(update={"benchmark": runs})
        benched = bench(asked, lab.reach(), lab.settings(variables=variables), tmp_path / "results")

    assert benched.playbook.failed == ()
    results = {result.machine.name: result for result in read_results(benched.folder)}
    good, never, lost = (results[f"lab-{name}-1"] for name in ("good", "never", "lost"))
    assert (good.valid, good.reasons) == (True, ())
    status = "licence: Unlicensed (Restricted) (expected: Licensed)"
    assert (never.valid, never.reasons) == (False, (status,))
    assert (lost.valid, lost.reasons) == (False, (f"after the run: {status}",))
    assert lost.gate is not None
    assert lost.gate.passed

    told = doubts(results.values())
    assert [text.partition("\n")[0] for text in told] == [
        f"lab-lost-1: not valid: after the run: {status}",
        f"lab-never-1: not valid: {status}",
    ]
    assert all("License Status Unlicensed (Restricted)" in text for text in told)

    (comparison,) = compare(results.values())
    assert [row.result.machine.name for row in comparison.rows] == ["lab-good-1"]
    console = Console(file=io.StringIO(), width=200)
    console.print(render([comparison]))
    assert isinstance(console.file, io.StringIO)
    page = write_report(list(results.values()), benched.folder).read_text()
    for text in (console.file.getvalue(), page):
        assert status in text
        assert "GPU 0 0000:02:01.0: License Status Unlicensed (Restricted)" in text


def test_fault_35_a_machine_without_a_licence_is_not_measured(tmp_path: Path) -> None:
    variables = {
        "payload_source": str(make_payload(tmp_path / "source")),
        "verify_played": f"~/{PLAYED}",
    }
    with ssh_lab(tmp_path, "lab-never-1") as lab:
        play_vgpu(lab.guests["lab-never-1"], licensed=False)
        runs = (BenchmarkRun.model_validate({"model": "mnist"}),)
        asked = lab.lab.model_copy(update={"benchmark": runs})
        benched = bench(asked, lab.reach(), lab.settings(variables=variables), tmp_path / "results")
        assert not (lab.guests["lab-never-1"].payload_dir / "results").exists()

    (host,) = benched.playbook.failed
    assert host.failed_task == "Stop where the machine is not what it should be"
    assert "licence: Unlicensed (Restricted)" in (host.message or "")
    assert "License Status Unlicensed (Restricted)" in (host.message or "")
    assert "nvidia-gridd" in (host.message or "")
    gate = json.loads((benched.folder / "lab-never-1" / "gate.json").read_text())
    assert gate["passed"] is False
