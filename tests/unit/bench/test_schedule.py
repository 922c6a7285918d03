from typing import Any

import pytest

from provision.bench.results import MachineFacts
from provision.bench.schedule import payload_jobs, payload_runs
from provision.spec.benchmark import BenchmarkRun


def runs(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    return payload_runs(tuple(BenchmarkRun.model_validate(entry) for entry in entries))


def test_there_is_a_run_per_engine_batch_size_and_precision() -> None:
    entry = {
        "model": "vgg16", "batch_size": [16, "max"], "precision": ["fp32", "mixed_bf16"],
        "engine": ["tensorflow", "jax"], "image_size": 64, "xla": "auto",
    }  # fmt: skip
    names = [run["name"] for run in runs(entry)]
    assert names[0] == "vgg16-b16-fp32-synthetic-64px-xla-auto"
    assert names[-1] == "vgg16-bmax-mixed_bf16-synthetic-jax-64px-xla-auto"
    assert len({*names}) == 8


@pytest.mark.parametrize(
    ("more", "arguments"),
    [
        ({}, []),
        ({"engine": ["torch"], "xla": "off"}, ["--engine=torch", "--xla=off"]),
        ({"time_limit": 30, "precision_target": 0.02},
         ["--time-limit=30", "--precision-target=0.02"]),
        ({"data": "digits", "epochs": 5, "target_accuracy": 0.97},
         ["--epochs=5", "--target-accuracy=0.97"]),
    ],
)  # fmt: skip
def test_keys_become_options_of_the_payload(more: dict[str, Any], arguments: list[str]) -> None:
    (run,) = runs({"model": "mnist", **more})
    assert run["arguments"] == arguments


def test_runs_that_differ_only_in_what_no_name_tells_get_numbers() -> None:
    names = [run["name"] for run in runs(*({"model": "mnist", "time_limit": n} for n in (1, 2)))]
    assert names == ["mnist-b64-fp32-synthetic", "mnist-b64-fp32-synthetic-2"]


MACHINES = {
    name: MachineFacts(name, group, "none")
    for name, group in (("a-1", "a"), ("a-2", "a"), ("b-1", "b"))
}


def jobs(*entries: dict[str, Any], everything: bool) -> list[dict[str, Any]]:
    benchmarks = tuple(BenchmarkRun.model_validate(entry) for entry in entries)
    return payload_jobs(benchmarks, MACHINES, everything=everything)


def test_a_group_of_two_trains_together_what_is_distributed() -> None:
    entries = {"model": "mnist"}, {"model": "mnist", "distributed": True}
    (job,) = jobs(*entries, everything=False)
    assert (job["group"], job["workers"]) == ("a", ["a-1", "a-2"])
    # The number tells it from the run before, and it is held against its own.
    assert job["name"] == "mnist-b64-fp32-synthetic-2-together"
    assert job["alone"] == "mnist-b64-fp32-synthetic-2"


def test_everything_is_what_can_be_trained_together() -> None:
    entries = {"model": "mnist"}, {"model": "mnist", "engine": ["jax"]}
    assert [job["name"] for job in jobs(*entries, everything=True)] == [
        "mnist-b64-fp32-synthetic-together"
    ]
