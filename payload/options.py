"""The options of the command line, and the settings that they amount to."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from payload.data import mirror
from payload.settings import (
    CEILINGS,
    DEFAULT_JOIN_SECONDS,
    DEFAULT_PRECISION_TARGET,
    DEFAULT_TIME_LIMIT,
    DIGITS,
    ENGINES,
    MAX,
    MODELS,
    PRECISIONS,
    SYNTHETIC,
    XLA,
    Settings,
)
from payload.workers import cluster

STDOUT = "-"
PLACE = "{batch}"
"""In `--output`: where the batch size goes, if there are several."""
MIN_STEPS = 3
SMALLEST_VGG_IMAGE = 32
"""Five poolings halve an image five times; below this size nothing is left."""
DEFAULT_BATCH_SIZES = {"mnist": 64}
DEFAULT_VGG_BATCH_SIZE = 32
SWITCH = {"on": True, "off": False}


def parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, Settings | None]:
    """Return the options and the settings they amount to; none for --list and --self-test.

    Raises:
        SystemExit: With code 2 if an option is wrong or two do not go together; with code 0
            after `--help`.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list or options.self_test:
        return options, None
    for problem in _conflicts(options):
        parser.error(problem)
    return options, _settings(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="payload",
        description="Train a network, measure images/s, write one JSON document.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model", choices=MODELS, help="what to train; all else has a default")
    add("--list", action="store_true", help="print what could be trained here, and on what")
    add(
        "--self-test",
        action="store_true",
        help="train the digits that come along, with --engine, and tell whether that went right",
    )
    add(
        "--batch-size",
        type=_batch_sizes,
        default=(),
        metavar="N|N,N,...|max",
        help="images per step and device (mnist 64, vgg 32); several for one run and document "
        "each, max for the largest that fits, which is found by trying",
    )
    add("--precision", choices=PRECISIONS, default="fp32", help="default: fp32")
    add(
        "--data",
        default=SYNTHETIC,
        metavar="synthetic|digits|keras|URL|PATH",
        help="random images (default), 1,797 digits that come along, MNIST from Keras' cache or "
        "a mirror, or a file or folder: MNIST's IDX files, an npz archive, a folder of images for "
        "each class, TFRecord files",
    )
    add(
        "--checksums",
        type=Path,
        metavar="FILE",
        help="hold data files against this list (as sha256sum prints it) instead of MNIST's "
        "published checksums",
    )
    add("--steps", type=_whole(MIN_STEPS), metavar="N", help="timed steps, exactly")
    add(
        "--time-limit",
        type=_positive,
        metavar="SECONDS",
        help="for warm-up and timed steps; loading, the first step (it compiles) and epochs are "
        f"extra (default: {DEFAULT_TIME_LIMIT:.0f}, or none with --steps)",
    )
    add("--image-size", type=_whole(SMALLEST_VGG_IMAGE), metavar="N", help="vgg only; default 224")
    add("--classes", type=_whole(2), metavar="N", help="vgg only; default 1000")
    add("--seed", type=_whole(0), default=0, metavar="N", help="default: 0")
    add("--learning-rate", type=_positive, metavar="X", help="default: the model's own")
    add("--epochs", type=_whole(1), default=0, metavar="N", help="then train on real data")
    add(
        "--target-accuracy",
        type=_share,
        metavar="SHARE",
        help="end the epochs at this test accuracy, 0 to 1, and report the time to it",
    )
    add("--engine", choices=ENGINES, default=ENGINES[0], help="default: tensorflow")
    add(
        "--devices",
        type=_whole(1),
        default=1,
        metavar="N",
        help="GPUs that train together, each with its own batch; without a GPU the CPU stands in "
        "for them (default: 1)",
    )
    add(
        "--xla",
        choices=XLA,
        help="compile with XLA, or measure both and take the faster (default: off; jax can't do "
        "without, torch has none)",
    )
    add(
        "--tf32",
        choices=SWITCH,
        default="on",
        help="whether GPUs that have TF32 multiply fp32 with it (default: on)",
    )
    add(
        "--threads",
        type=_whole(1),
        default=0,
        metavar="N",
        help="of the CPU (default: the engine's own choice)",
    )
    add(
        "--deterministic",
        action="store_true",
        help="avoid operations whose order of summing changes: the same seed then gives the same "
        "losses to the last bit; slower on GPUs",
    )
    add(
        "--precision-target",
        type=_share,
        default=DEFAULT_PRECISION_TARGET,
        metavar="SHARE",
        help="stop when the 95 %% interval of the median step time is within this share of it "
        f"(default: {DEFAULT_PRECISION_TARGET})",
    )
    job = parser.add_argument_group(
        "more than one machine", "started on each of them, with the same options but --rank"
    )
    job.add_argument(
        "--workers",
        metavar="HOST:PORT,...|tf-config",
        help="train as one job; HOST:PORT is where each worker's engine listens. tf-config takes "
        "them and the rank from the variable TF_CONFIG",
    )
    job.add_argument(
        "--rank", type=_whole(0), metavar="N", help="which of the workers this is, from 0"
    )
    job.add_argument(
        "--alone",
        type=Path,
        metavar="FILE",
        help="the document of the same run by this machine alone: gives the scaling efficiency",
    )
    job.add_argument(
        "--job-output", type=Path, metavar="FILE", help="document of the job; worker 0 writes it"
    )
    job.add_argument(
        "--join-seconds",
        type=_positive,
        default=DEFAULT_JOIN_SECONDS,
        metavar="SECONDS",
        help=f"how long to wait for the other workers (default: {DEFAULT_JOIN_SECONDS:.0f})",
    )
    add(
        "--ceilings",
        choices=CEILINGS,
        default="on",
        help="also measure what matmul, convolution and memory of the device give at best, some "
        "seconds each, and compare; or measure only that (default: on)",
    )
    add(
        "--mllog",
        metavar="FILE",
        help="write what happens in the MLPerf logging format as well; - is standard error",
    )
    add(
        "--output",
        default=STDOUT,
        metavar="FILE",
        help="default: standard output; {batch} stands for the batch size, if there are several",
    )
    return parser


def _conflicts(options: argparse.Namespace) -> Iterator[str]:
    """Return what is wrong with the options together."""
    if options.model is None:
        yield "--model is required (or --list, or --self-test)"
    if options.model == "mnist" and (options.image_size or options.classes):
        yield "--image-size and --classes go with vgg models; mnist has 28x28 and 10"
    if options.target_accuracy and not options.epochs:
        yield "--target-accuracy needs --epochs"
    yield from _data_conflicts(options)
    if options.ceilings == "only" and options.epochs:
        yield "--ceilings only trains nothing, so --epochs makes no sense with it"
    yield from _engine_conflicts(options)
    yield from _job_conflicts(options)
    for option, path in (
        ("--output", options.output), ("--job-output", options.job_output),
        ("--mllog", options.mllog),
    ):  # fmt: skip
        # After an hour's run is too late to find out.
        if path not in {STDOUT, None} and not _can_be_written(Path(path)):
            yield f"{option} {path}: can't be written"


def _engine_conflicts(options: argparse.Namespace) -> Iterator[str]:
    if (options.engine, options.xla) in {("jax", "off"), ("torch", "on")}:
        yield f"--xla {options.xla}: jax always compiles with XLA, torch has none"
    if options.engine == "tensorflow" and options.xla in {"on", "auto"} and options.devices > 1:
        yield f"--xla {options.xla} goes with one device"
    if options.engine == "torch" and options.devices > 1:
        yield "--devices goes with tensorflow and jax; torch trains on one device here"
    if options.batch_size != MAX and len(options.batch_size) > 1 and PLACE not in options.output:
        yield f"several batch sizes need {PLACE} in --output: each run has a document of its own"
    if options.mllog and options.batch_size != MAX and len(options.batch_size) > 1:
        yield "--mllog goes with one batch size"


def _job_conflicts(options: argparse.Namespace) -> Iterator[str]:
    if options.workers is None:
        only = {
            "--rank": options.rank,
            "--alone": options.alone,
            "--job-output": options.job_output,
        }
        for option in (name for name, value in only.items() if value is not None):
            yield f"{option} goes with --workers"
        return
    try:
        cluster.parse(options.workers, options.rank, os.environ)
    except ValueError as error:
        yield str(error)
    if options.engine != "tensorflow":
        yield "--workers goes with tensorflow"
    if options.xla in {"on", "auto"}:
        yield f"--xla {options.xla} does not go with --workers"
    if options.batch_size == MAX or len(options.batch_size) > 1:
        yield "--workers goes with one --batch-size"
    if options.ceilings == "only":
        yield "--ceilings only does not go with --workers: measure them on each machine alone"


def _can_be_written(path: Path) -> bool:
    return os.access(path.absolute().parent, os.W_OK | os.X_OK) and not path.is_dir()


def _data_conflicts(options: argparse.Namespace) -> Iterator[str]:
    if options.epochs and options.data == SYNTHETIC:
        yield "--epochs needs real data: there is nothing to learn in random images"
    if options.checksums and options.data in {SYNTHETIC, DIGITS}:
        yield "--checksums goes with a path in --data"
    if mirror.is_url(options.data) and (wrong := mirror.problem(options.data)):
        yield f"--data: the address {wrong}"


def _settings(options: argparse.Namespace) -> Settings:
    mnist = options.model == "mnist"
    batch_size = DEFAULT_BATCH_SIZES.get(options.model, DEFAULT_VGG_BATCH_SIZE)
    if options.batch_size and options.batch_size != MAX:
        batch_size = options.batch_size[0]
    limit = options.time_limit
    if limit is None and options.steps is None:
        limit = DEFAULT_TIME_LIMIT
    return Settings(
        model=options.model,
        batch_size=batch_size,
        precision=options.precision,
        data=options.data,
        checksums=options.checksums,
        steps=options.steps,
        time_limit=limit,
        image_size=28 if mnist else options.image_size or 224,
        channels=1 if mnist else 3,
        classes=10 if mnist else options.classes or 1000,
        seed=options.seed,
        epochs=options.epochs,
        target_accuracy=options.target_accuracy,
        learning_rate=options.learning_rate,
        engine=options.engine,
        devices=options.devices,
        xla=_xla(options),
        tf32=SWITCH[options.tf32],
        threads=options.threads,
        deterministic=options.deterministic,
        ceilings=options.ceilings,
        precision_target=options.precision_target,
        cluster=cluster.parse(options.workers, options.rank, os.environ)
        if options.workers
        else None,
        alone=options.alone,
        join_seconds=options.join_seconds,
    )


def _xla(options: argparse.Namespace) -> str:
    """Return what the engine is to do; two of them have no choice."""
    only = {"jax": "on", "torch": "off"}
    return only.get(options.engine) or options.xla or "off"


def _batch_sizes(text: str) -> tuple[int, ...] | str:
    if text == MAX:
        return MAX
    return tuple(_whole(1)(part) for part in text.split(","))


def _whole(least: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"{text} is below {least}")
        return number

    return whole_number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 1")
    return number
