"""`--mllog`: lines that readers of MLPerf logs understand."""

import json
from pathlib import Path
from typing import Any

from payload.cli import main

DIGITS = ["--model", "mnist", "--data", "digits", "--ceilings", "off", "--steps", "3"]
KEYS = {"namespace", "time_ms", "event_type", "key", "value", "metadata"}


def lines(path: Path) -> list[dict[str, Any]]:
    found = []
    for line in path.read_text().splitlines():
        assert line.startswith(":::MLLOG ")
        found.append(json.loads(line.removeprefix(":::MLLOG ")))
        assert found[-1].keys() == KEYS
    return found


def test_a_run_tells_what_happens_in_mlperfs_words(tmp_path: Path) -> None:
    log, target = tmp_path / "run.log", tmp_path / "result.json"
    words = ["--epochs", "2", "--seed", "7", "--mllog", str(log), "--output", str(target)]
    assert main([*DIGITS, *words]) == 0
    told = lines(log)
    stamps = [line["time_ms"] for line in told]
    assert stamps == sorted(stamps)
    values = {line["key"]: line["value"] for line in told}
    document = json.loads(target.read_text())
    assert values | {
        "submission_benchmark": "mnist", "seed": 7, "global_batch_size": 64, "opt_name": "adam",
        "opt_base_learning_rate": 0.001, "train_samples": 1500, "eval_samples": 297,
        "tracked_stats": {"throughput": document["throughput"]["median"]},
        "eval_accuracy": document["training"]["accuracy"],
    } == values  # fmt: skip
    intervals = [
        (line["key"], line["metadata"]) for line in told if line["event_type"] != "POINT_IN_TIME"
    ]
    first = {"first_step_num": document["throughput"]["warmup_steps"] + 2}
    epochs = [
        (key, {"epoch_num": number})
        for number in (1, 2)
        for key in ("epoch_start", "epoch_stop", "eval_start", "eval_stop")
    ]
    assert intervals == [
        ("init_start", {}), ("init_stop", {}), ("run_start", {}), ("block_start", first),
        ("block_stop", {"step_count": 3}), *epochs, ("run_stop", {"status": "success"}),
    ]  # fmt: skip


def test_a_run_without_a_result_is_aborted(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    words = ["--time-limit", "1e-6", "--mllog", str(log), "--output", str(tmp_path / "x.json")]
    assert main([*DIGITS, *words]) == 1
    last = lines(log)[-1]
    assert (last["key"], last["metadata"]) == ("run_stop", {"status": "aborted"})
