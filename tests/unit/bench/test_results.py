import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from provision.bench.compare import compare
from provision.bench.jobs import read_jobs
from provision.bench.results import (
    MachineFacts,
    Run,
    new_run_folder,
    newest_run,
    read_results,
    write_document,
    write_run,
)
from provision.errors import UsageError, VdlError

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def document(median: float | None = 1000.0, **changes: Any) -> dict[str, Any]:
    throughput = median and {"median": median, "low": 0.98 * median, "high": 1.02 * median}
    return {
        "version": 1, "kind": "vdl-result", "model": "mnist", "batch_size": 64,
        "precision": "fp32", "engine": "tensorflow", "image_shape": [28, 28, 1],
        "data": {"source": "synthetic"}, "throughput": throughput, "valid": median is not None,
        "reasons": [] if median else ["out of memory"], "environment": {}, **changes,
    }  # fmt: skip


def make_run(results: Path, modes: dict[str, str]) -> Path:
    folder = new_run_folder(results, "vroom", NOW)
    machines = {name: MachineFacts(name, name, mode) for name, mode in modes.items()}
    write_run(folder, Run("vroom", folder.name, NOW.isoformat(), NOW.isoformat(), machines))
    for name in modes:
        gate = {"version": 1, "kind": "vdl-gate", "passed": True, "reasons": []}
        write_document(folder / name / "gate.json", gate)
    return folder


def test_results_are_read_back_with_what_vcenter_said_of_the_machine(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {"direct": "passthrough"})
    write_document(folder / "direct" / "mnist.json", document(median=500.0))
    (result,) = read_results(folder)
    assert result.machine.gpu_mode == "passthrough"
    assert result.speed is not None
    assert result.speed.median == 500.0
    assert result.valid


def test_two_runs_in_one_second_get_folders_of_their_own(tmp_path: Path) -> None:
    first, second = (new_run_folder(tmp_path, "vroom", NOW) for _ in range(2))
    assert first != second


def test_the_newest_run_is_the_last_one_that_measured_something(tmp_path: Path) -> None:
    make_run(tmp_path, {"a": "none"})
    newest = make_run(tmp_path, {"a": "none"})
    write_document(newest / "a" / "mnist.json", document())
    make_run(tmp_path, {"a": "none"})  # measured nothing
    assert newest_run(tmp_path) == newest
    with pytest.raises(UsageError, match="vdl bench"):
        newest_run(tmp_path, "other")


def test_a_result_without_a_passed_gate_is_invalid_and_says_so(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {"a": "vgpu"})
    write_document(folder / "a" / "mnist.json", document())
    gate = {"version": 1, "kind": "vdl-gate", "passed": False, "reasons": ["unlicensed"]}
    write_document(folder / "a" / "gate.json", gate)
    (failed,) = read_results(folder)
    (folder / "a" / "gate.json").unlink()
    (missing,) = read_results(folder)
    assert (failed.valid, failed.reasons) == (False, ("unlicensed",))
    assert (missing.valid, missing.reasons) == (False, ("gate: the machine passed none",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"version": 1, "kind": "vdl-res', "can't be read"),
        ("[]", "no vdl-result"),
        ('{"version": 1, "kind": "vdl-result"}', "'model' is missing"),
        ('{"version": 2, "kind": "vdl-result"}', "version 2"),
    ],
)
def test_fault_40_a_partial_or_foreign_document_is_refused_by_name(
    tmp_path: Path, text: str, said: str
) -> None:
    folder = make_run(tmp_path, {"a": "none"})
    (folder / "a" / "mnist.json").write_text(text)
    with pytest.raises(UsageError, match=said) as caught:
        read_results(folder)
    assert caught.value.subject == str(folder / "a" / "mnist.json")


def test_fault_42_what_cannot_be_written_leaves_the_earlier_document_whole(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_document(path, {"earlier": True})
    with pytest.raises(TypeError):
        write_document(path, {"a": object()})
    with pytest.raises(VdlError, match="can't be written"):
        write_document(Path("/proc/nowhere/result.json"), {})
    assert json.loads(path.read_text()) == {"earlier": True}
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def speeds(folder: Path, by_machine: dict[str, dict[str, Any]]) -> None:
    for name, changes in by_machine.items():
        write_document(folder / name / "mnist.json", document(**changes))


def test_each_speed_is_compared_with_bare_metal_where_there_is_one(tmp_path: Path) -> None:
    modes = {"metal": "bare-metal", "direct": "passthrough", "shared": "vgpu"}
    folder = make_run(tmp_path, modes)
    speeds(folder, {"metal": {"median": 1000.0}, "direct": {"median": 980.0},
                    "shared": {"median": 500.0}})  # fmt: skip
    (comparison,) = compare(read_results(folder))
    assert comparison.baseline == "bare-metal"
    ratios = {row.result.machine.name: row.ratio for row in comparison.rows}
    assert ratios["metal"].median == 1.0
    assert ratios["direct"].median == pytest.approx(0.98)
    assert ratios["shared"].low == pytest.approx(0.5 * 0.98 / 1.02)
    assert ratios["shared"].high == pytest.approx(0.5 * 1.02 / 0.98)


def test_unlike_runs_never_stand_in_one_table(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {"a": "none", "b": "none", "c": "none"})
    speeds(folder, {"a": {}, "b": {"batch_size": 128}, "c": {"precision": "mixed_bf16"}})
    assert [len(c.rows) for c in compare(read_results(folder))] == [1, 1, 1]


@pytest.mark.parametrize(
    "changes",
    [
        {"engine": "jax"},
        {"image_shape": [64, 64, 3]},
        {"xla": {"asked": "auto", "used": True}},
        {"devices": 2},
        {"data": {"source": "images", "sha256": {"file list": "ab"}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_makes_runs_unlike(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = make_run(tmp_path, {"a": "none", "b": "none"})
    speeds(folder, {"a": {}, "b": changes})
    titles = [comparison.likeness.title for comparison in compare(read_results(folder))]
    assert len({*titles}) == 2


def test_other_files_under_one_name_are_other_data(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {"a": "none", "b": "none"})
    data = {
        name: {"data": {"source": "files", "sha256": {"train": digest}}}
        for name, digest in (("a", "01"), ("b", "02"))
    }
    speeds(folder, data)
    assert [len(c.rows) for c in compare(read_results(folder))] == [1, 1]


def test_tf32_on_some_gpus_only_is_told(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {"a": "passthrough", "b": "vgpu"})
    framework = {
        name: {"environment": {"framework": {"gpus": [{}], "tensor_float_32": used}}}
        for name, used in (("a", True), ("b", False))
    }
    speeds(folder, framework)
    (comparison,) = compare(read_results(folder))
    assert "not all GPUs multiply fp32 alike (TF32): with, without" in comparison.notes


def test_what_a_run_warns_of_stands_beside_the_table(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {"a": "none"})
    speeds(folder, {"a": {"warnings": ["cpu-shared: others used 54 % of the CPUs"]}})
    (comparison,) = compare(read_results(folder))
    assert comparison.notes == ("a: cpu-shared: others used 54 % of the CPUs",)


JOB = {
    "version": 1, "kind": "vdl-job", "model": "mnist", "image_shape": [28, 28, 1],
    "batch_size": 128, "precision": "fp32", "data": {"source": "synthetic"},
    "engine": "tensorflow", "throughput": {"median": 300.0, "low": 290.0, "high": 310.0},
    "scaling": {"alone": 400.0, "efficiency": 0.75}, "valid": True, "reasons": [],
    "network": {"gradient_bytes": 13, "bytes_per_second": 1e9, "bound_images_per_second": 1e4},
}  # fmt: skip


def make_job(folder: Path, *, whole: bool = True) -> None:
    place = folder / "together" / "shared" / "mnist-together"
    for name in ("a", "b"):
        write_document(place / f"{name}.json", document(None))
    if whole:
        write_document(place / "job.json", JOB)


def test_a_job_is_read_with_the_machines_that_took_part(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {"a": "vgpu", "b": "vgpu", "c": "none"})
    make_job(folder)
    (job,) = read_jobs(folder)
    assert [machine.name for machine in job.machines] == ["a", "b"]
    assert (job.efficiency, job.valid, job.group) == (0.75, True, "shared")
    assert read_results(folder) == ()  # what workers measured is no result of its own


def test_fault_35_a_job_counts_only_if_no_gate_of_its_machines_failed(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {"a": "vgpu", "b": "vgpu"})
    make_job(folder)
    gate = {"version": 1, "kind": "vdl-gate", "passed": False, "reasons": ["unlicensed"]}
    write_document(folder / "b" / "gate.json", gate)
    (job,) = read_jobs(folder)
    assert (job.valid, job.reasons) == (False, ("b: unlicensed",))


def test_a_job_that_came_to_nothing_says_why(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {"a": "vgpu", "b": "vgpu"})
    make_job(folder, whole=False)
    (job,) = read_jobs(folder)
    assert not job.valid
    assert job.reasons[1:] == ("a: out of memory", "b: out of memory")


def test_fault_40_a_partial_document_of_a_job_is_refused_by_name(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {"a": "vgpu", "b": "vgpu"})
    make_job(folder)
    path = folder / "together" / "shared" / "mnist-together" / "job.json"
    write_document(path, {key: value for key, value in JOB.items() if key != "network"})
    with pytest.raises(UsageError, match="'network' is missing") as caught:
        read_jobs(folder)
    assert caught.value.subject == str(path)


def test_invalid_results_are_kept_out_of_the_comparison_and_shown(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {"metal": "bare-metal", "direct": "passthrough"})
    speeds(folder, {"metal": {"median": None}, "direct": {}})
    (comparison,) = compare(read_results(folder))
    assert comparison.baseline == "passthrough"
    assert [r.reasons for r in comparison.invalid] == [("out of memory",)]


def test_what_gates_warned_of_is_named_beside_the_table(tmp_path: Path) -> None:
    folder = make_run(tmp_path, dict.fromkeys("abcdef", "passthrough"))
    speeds(folder, {name: {} for name in "abcdef"})
    check = {"id": "power-limit", "state": "warned", "seen": "250 W of 300 W", "expected": "",
             "evidence": [], "fix": "raise it"}  # fmt: skip
    gate = {"version": 1, "kind": "vdl-gate", "passed": True, "reasons": [], "checks": [check]}
    for name in "abcde":
        write_document(folder / name / "gate.json", gate)
    (comparison,) = compare(read_results(folder))
    assert comparison.notes == ("a, b, c, d and 1 more: power-limit: 250 W of 300 W",)
    assert len(comparison.rows) == 6


def test_other_drivers_are_named_beside_the_table(tmp_path: Path) -> None:
    folder = make_run(tmp_path, {"a": "passthrough", "b": "vgpu"})
    gpus = {name: {"environment": {"gpus": [{"driver": driver}]}}
            for name, driver in (("a", "570.1"), ("b", "550.2"))}  # fmt: skip
    speeds(folder, gpus)
    (comparison,) = compare(read_results(folder))
    assert comparison.notes == ("not all GPU drivers are the same: 550.2, 570.1",)
