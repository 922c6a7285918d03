"""Runs the lab's benchmarks in its guests, and keeps who they were beside what they measured."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from provision.apply.interrupt import StopRequest
from provision.bench.results import MachineFacts, Run, new_run_folder, write_run
from provision.deadline import Deadline
from provision.errors import UsageError
from provision.guests.configure import Guests, Settings, measure
from provision.guests.events import Event, PlaybookResult
from provision.spec.benchmark import BenchmarkRun
from provision.spec.model import Lab

DEFAULT_ENGINE = "tensorflow"
OPTIONS = (
    "xla", "image_size", "time_limit", "precision_target", "epochs", "target_accuracy",
)  # fmt: skip
"""Keys of a benchmark that the payload has an option for, of the same name and meaning."""


@dataclass(frozen=True, slots=True)
class Benched:
    """What a call of `bench` left behind. `folder` holds the documents that there are."""

    folder: Path
    playbook: PlaybookResult


def bench(
    lab: Lab,
    guests: Guests,
    settings: Settings,
    results: Path,
    *,
    distributed: bool = False,
    on_event: Callable[[Event], None] = lambda _: None,
    deadline: Deadline | None = None,
    stop: StopRequest | None = None,
) -> Benched:
    """Run every benchmark of the lab file on every machine, one machine at a time.

    Then train those that are `distributed` (or all that can be, if that is asked for here) on
    all machines of each group together.

    Raises:
        UsageError: The lab file asks for no benchmark, or no guest can be logged in to.
        VdlError: The results folder can't be written.
        PlaybookFailed: Ansible could not start.
    """
    runs = payload_runs(lab.benchmark)
    if not runs:
        raise UsageError(
            "the lab file asks for no benchmark",
            subject=lab.lab,
            fix="add `benchmark: [{model: mnist}]`",
        )
    machines = machine_facts(guests, settings.limit)
    if not machines:
        raise UsageError(
            "no machine of the lab can be logged in to",
            subject=lab.lab,
            why="; ".join(f"{name}: {why}" for name, why in guests.left_out.items()),
            fix="run `vdl status`, then `vdl provision`",
        )
    jobs = payload_jobs(lab.benchmark, machines, everything=distributed)
    if distributed and not jobs:
        raise UsageError(
            "nothing can be trained on several machines together",
            subject=lab.lab,
            why="that takes a group of two or more machines, and a benchmark with tensorflow",
            fix="raise the count of a group to 2, or leave out --distributed",
        )
    started = datetime.now(UTC)
    folder = new_run_folder(results, lab.lab, started)

    def describe(finished: datetime) -> Run:
        return Run(lab.lab, folder.name, started.isoformat(), finished.isoformat(), machines)

    # Written before as well as after: what an interrupted run measured can still be read.
    write_run(folder, describe(started))
    played = measure(
        guests, settings, runs, folder,
        jobs=jobs, on_event=on_event, deadline=deadline, stop=stop,
    )  # fmt: skip
    write_run(folder, describe(datetime.now(UTC)))
    return Benched(folder, played)


def payload_runs(benchmarks: tuple[BenchmarkRun, ...]) -> list[dict[str, Any]]:
    """Return one entry for the role `benchmark` per model, engine, batch size and precision."""
    return [run for _, run in _all_runs(benchmarks)]


def payload_jobs(
    benchmarks: tuple[BenchmarkRun, ...],
    machines: Mapping[str, MachineFacts],
    *,
    everything: bool = False,
) -> list[dict[str, Any]]:
    """Return one job for each distributed run and each group of two or more machines.

    `everything` takes every benchmark for distributed that can be.
    """
    groups: dict[str, list[str]] = {}
    for name, facts in machines.items():
        groups.setdefault(facts.group, []).append(name)
    return [
        {**run, "name": f"{run['name']}-together", "alone": run["name"],
         "group": group, "workers": workers}
        for benchmark, run in _all_runs(benchmarks)
        if benchmark.distributed or (everything and benchmark.distributable)
        for group, workers in groups.items()
        if len(workers) > 1
    ]  # fmt: skip


def _all_runs(
    benchmarks: tuple[BenchmarkRun, ...],
) -> list[tuple[BenchmarkRun, dict[str, Any]]]:
    runs = [(benchmark, run) for benchmark in benchmarks for run in _expanded(benchmark)]
    seen: Counter[str] = Counter()
    for _, run in runs:
        seen[run["name"]] += 1
        if seen[run["name"]] > 1:
            run["name"] += f"-{seen[run['name']]}"
    return runs


def _expanded(benchmark: BenchmarkRun) -> Iterator[dict[str, Any]]:
    combinations = product(benchmark.engine, benchmark.batch_size, benchmark.precision)
    for engine, batch_size, precision in combinations:
        yield {
            "name": _name(benchmark, engine, f"b{batch_size}", precision),
            "model": benchmark.model,
            "batch_size": str(batch_size),
            "precision": precision,
            "data": benchmark.data,
            "arguments": list(_arguments(benchmark, engine)),
        }


def _name(benchmark: BenchmarkRun, engine: str, *parts: str) -> str:
    """Return a name that tells runs apart; it becomes a file name, here and in the guests."""
    # What the data is goes into the name, as far as a file name can carry it.
    data = re.sub(r"[^A-Za-z0-9]+", "-", benchmark.data).strip("-")[-40:]
    words = [benchmark.model, *parts, data]
    words += [engine] if engine != DEFAULT_ENGINE else []
    words += [f"{benchmark.image_size}px"] if benchmark.image_size else []
    words += [f"xla-{benchmark.xla}"] if benchmark.xla else []
    return "-".join(words)


def _arguments(benchmark: BenchmarkRun, engine: str) -> Iterator[str]:
    """Yield an option of the payload for each key of the same name that the entry has."""
    if engine != DEFAULT_ENGINE:
        yield f"--engine={engine}"
    for key in OPTIONS:
        value = getattr(benchmark, key)
        if value is not None:
            yield f"--{key.replace('_', '-')}={value}"


def machine_facts(guests: Guests, limit: Collection[str] = ()) -> dict[str, MachineFacts]:
    """Return what is known of each machine that takes part, by name.

    Of the lab's machines vCenter knows it, of others the inventory that they stand in.
    """
    known = guests.machines
    return {name: _facts(name, known[name]) for name in sorted(known) if not limit or name in limit}


def _facts(name: str, known: Mapping[str, Any]) -> MachineFacts:
    words = ("vdl_gpu_profile", "vdl_gpu_group", "vdl_gpu_model")
    return MachineFacts(
        name=name,
        group=known["vdl_group"],
        gpu_mode=known["vdl_gpu_mode"],
        gpu=next((known[word] for word in words if known.get(word)), None),
        gpu_count=known.get("vdl_gpu_count", 0),
        host=known.get("vdl_host"),
        simulated=known.get("vdl_simulated", False),
    )
