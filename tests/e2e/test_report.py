"""`vdl report` on runs that were made up with the writers that `vdl bench` uses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from provision.bench.results import MachineFacts, Run, new_run_folder, write_document, write_run
from tests.e2e.site import Site

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SPEEDS = {
    "direct": ("passthrough", 970.0),
    "metal": ("bare-metal", 1000.0),
    "shared": ("vgpu", 485.0),
}


def document(speed: float) -> dict[str, Any]:
    return {
        "version": 1, "kind": "vdl-result", "model": "vgg16", "batch_size": 16,
        "precision": "fp32", "engine": "tensorflow", "image_shape": [224, 224, 3],
        "data": {"source": "synthetic"}, "valid": True, "reasons": [], "environment": {},
        "throughput": {"median": speed, "low": 0.99 * speed, "high": 1.01 * speed},
    }  # fmt: skip


def write_gate(folder: Path, *reasons: str) -> None:
    gate = {"version": 1, "kind": "vdl-gate", "passed": not reasons, "reasons": reasons}
    write_document(folder / "gate.json", gate)


def make_run(results: Path, when: datetime = NOW) -> Path:
    folder = new_run_folder(results, "vroom", when)
    machines = {name: MachineFacts(name, name, mode) for name, (mode, _) in SPEEDS.items()}
    write_run(folder, Run("vroom", folder.name, when.isoformat(), when.isoformat(), machines))
    for name, (_, speed) in SPEEDS.items():
        write_gate(folder / name)
        write_document(folder / name / "vgg16.json", document(speed))
    return folder


@pytest.fixture
def alone(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_run_is_compared_with_bare_metal(alone: Site) -> None:
    folder = make_run(alone.folder / "results")
    table = alone.vdl("report").good()
    assert "vgg16 224x224x3, batch 16, fp32, synthetic data" in table.out
    assert f"report: {folder.relative_to(alone.folder)}/report.html" in table.err
    assert (folder / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")

    found = alone.vdl("report", "-o", "json").good().json
    assert found["version"] == 1
    (comparison,) = found["comparisons"]
    assert comparison["baseline"] == "bare-metal"
    ratios = {r["machine"]["name"]: r["ratio"]["median"] for r in comparison["results"]}
    assert ratios == pytest.approx({"metal": 1.0, "direct": 0.97, "shared": 0.485})


def test_the_newest_run_is_shown_unless_one_is_named(alone: Site) -> None:
    old = make_run(alone.folder / "elsewhere")
    new = make_run(alone.folder / "elsewhere", NOW + timedelta(days=1))
    runs = [
        alone.vdl("report", *named, "-o", "json").good().json["comparisons"][0]["results"][0]["run"]
        for named in (["--results", "elsewhere"], [old])
    ]
    assert runs == [new.name, old.name]


def test_a_number_without_its_gate_is_shown_as_invalid(alone: Site) -> None:
    folder = make_run(alone.folder / "results")
    write_gate(folder / "shared", "the vGPU is not licensed")
    (comparison,) = alone.vdl("report", "-o", "json").good().json["comparisons"]
    assert {r["machine"]["name"] for r in comparison["results"]} == {"metal", "direct"}
    (invalid,) = comparison["invalid"]
    assert (invalid["machine"], invalid["reasons"]) == ("shared", ["the vGPU is not licensed"])
    assert "the vGPU is not licensed" in alone.vdl("report").good().out
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "invalid, left out: shared" in page  # in the chart


def test_a_failing_check_is_shown_with_its_evidence(alone: Site) -> None:
    folder = make_run(alone.folder / "results")
    line, proof = "xid: Xid 79 (expected: none since boot)", "NVRM: Xid (PCI:0000:03:00): 79"
    check = {"id": "xid", "state": "failed", "seen": "Xid 79", "expected": "none since boot",
             "evidence": [proof], "fix": "reboot"}  # fmt: skip
    gate = {"version": 1, "kind": "vdl-gate", "passed": False, "reasons": [line], "checks": [check]}
    write_document(folder / "shared" / "after" / "vgg16.json", gate)
    write_document(folder / "direct" / "gate.json", gate)
    (folder / "direct" / "vgg16.json").unlink()

    found = alone.vdl("report", "-o", "json").good().json
    (invalid,) = found["comparisons"][0]["invalid"]
    assert invalid == {"machine": "shared", "reasons": [f"after the run: {line}"],
                       "evidence": [f"after the run: xid: {proof}"]}  # fmt: skip
    assert found["not_measured"] == [
        {"machine": "direct", "reasons": [line], "evidence": [f"xid: {proof}"]}
    ]
    out = alone.vdl("report").good().out
    for text in (out, (folder / "report.html").read_text(encoding="utf-8")):
        assert f"after the run: {line}" in text
        assert f"direct: {line}" in text
        assert f"xid: {proof}" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"version": 1, "kind": "vdl-res', "it is not whole"),
        ("", "it is not whole"),
        ("[]", "this is no vdl-result document"),
        ('{"version": 9, "kind": "vdl-result"}', "this document has version 9"),
        ('{"version": 1, "kind": "vdl-result", "model": "vgg16"}', "'batch_size' is missing"),
    ],
)
def test_a_document_that_is_not_whole_is_refused_by_name(alone: Site, text: str, said: str) -> None:
    folder = make_run(alone.folder / "results")
    (folder / "shared" / "vgg16.json").write_text(text, encoding="utf-8")
    alone.vdl("report").refused(2, "shared/vgg16.json", said)
    assert not (folder / "report.html").exists()


def test_a_run_in_which_nothing_was_measured_is_no_success(alone: Site) -> None:
    folder = new_run_folder(alone.folder / "results", "vroom", NOW)
    write_run(folder, Run("vroom", folder.name, NOW.isoformat(), NOW.isoformat(), {}))
    for output in ("text", "json"):
        alone.vdl("report", "-o", output).refused(2, "there are no results yet", "vdl bench")
        named = alone.vdl("report", str(folder), "-o", output)
        named.refused(2, "nothing was measured", "vdl bench")
