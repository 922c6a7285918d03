"""Two guests that train one model, started by benchmark.yml."""

import json
from pathlib import Path

import pytest

from provision.guests.configure import measure
from tests.guests.sshd import free_port, ssh_lab

RUN = {"model": "mnist", "batch_size": "16"}
NAMES = ["lab-cpu-1", "lab-cpu-2"]


@pytest.mark.slow
def test_the_machines_of_a_group_train_one_model(tmp_path: Path) -> None:
    results = tmp_path / "results"
    run = {**RUN, "name": "mnist", "arguments": ["--time-limit=2", "--threads=1"]}
    job = {**run, "name": "mnist-together", "alone": "mnist", "group": "cpu", "workers": NAMES}
    with ssh_lab(tmp_path, *NAMES) as lab:
        settings = lab.settings(tags=("benchmark",), variables={"benchmark_port": free_port()})
        result = measure(lab.reach(), settings, [run], results, jobs=[job])

    assert result.failed == ()
    assert [host.data["vdl_runs"] for host in result.hosts.values()] == [
        {"mnist": 0, "mnist-together": 0}
    ] * 2
    folder = results / "together" / "cpu" / "mnist-together"
    kept = sorted(path.name for path in folder.iterdir())
    assert kept == ["job.json", "lab-cpu-1.json", "lab-cpu-2.json"]
    together = json.loads((folder / "job.json").read_text())
    alone = [
        json.loads((results / name / "mnist.json").read_text())["throughput"]["median"]
        for name in NAMES
    ]
    assert together["valid"]
    assert together["scaling"]["alone"] == pytest.approx(sum(alone))
    assert 0 < together["scaling"]["efficiency"] < 1.5


@pytest.mark.sweep
def test_a_worker_that_fails_ends_the_others_with_its_reason(tmp_path: Path) -> None:
    results = tmp_path / "results"
    job = {**RUN, "name": "bad", "group": "cpu", "workers": NAMES, "data": str(tmp_path / "data")}
    (tmp_path / "data").mkdir()
    with ssh_lab(tmp_path, *NAMES) as lab:
        settings = lab.settings(tags=("benchmark",), variables={"benchmark_port": free_port()})
        result = measure(lab.reach(), settings, [], results, jobs=[job])
    assert [host.data["vdl_runs"] for host in result.hosts.values()] == [{"bad": 1}] * 2
    assert all("data: " in (host.message or "") for host in result.failed)
    assert not (results / "together" / "cpu" / "bad" / "job.json").exists()
