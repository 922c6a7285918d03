"""`python -m payload`: options in, one JSON document out.

Exit codes: 0 the result is valid; 1 the run failed or its result is invalid (the document says
why); 2 wrong usage, and no document.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from payload import output
from payload.document import Json
from payload.interrupt import stop_requests
from payload.progress import Progress
from payload.run import run
from payload.settings import (
    DEFAULT_TIME_LIMIT,
    DIGITS,
    MODELS,
    PRECISIONS,
    SYNTHETIC,
    Settings,
)

STDOUT = "-"
MIN_STEPS = 3
SMALLEST_VGG_IMAGE = 32
"""Five poolings halve an image five times; below this size nothing is left."""
DEFAULT_BATCH_SIZES = {"mnist": 64}
DEFAULT_VGG_BATCH_SIZE = 32


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; wrong usage raises `SystemExit(2)`."""
    options, settings = parse(arguments)
    progress = Progress(sys.stderr, time.monotonic, settings.batch_size)
    with stop_requests() as stop:
        writer = Writer(options.output)
        document = run(settings, stop, progress, writer.write)
    for reason in document["reasons"]:
        progress.say(reason)
    if document["valid"]:
        figures = document["throughput"]
        progress.say(
            f"{figures['median']:.1f} images/s "
            f"({figures['low']:.1f} to {figures['high']:.1f}), {document['stopped_by']}"
        )
    return 0 if document["valid"] and writer.done else 1


def parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, Settings]:
    """Return the options and the settings they amount to.

    Raises:
        SystemExit: With code 2 if an option is wrong or two do not go together; with code 0
            after `--help`.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if problem := _conflict(options):
        parser.error(problem)
    return options, _settings(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="payload",
        description="Train a network, measure images/s, write one JSON document.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model", choices=MODELS, required=True)
    add("--batch-size", type=_whole(1), metavar="N", help="images per step (mnist 64, vgg 32)")
    add("--precision", choices=PRECISIONS, default="fp32", help="default: fp32")
    add(
        "--data",
        default=SYNTHETIC,
        metavar="synthetic|digits|PATH",
        help="random images (the default), scikit-learn's digits, or a folder with MNIST's IDX "
        "files or an npz archive",
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
    add("--output", default=STDOUT, metavar="FILE", help="default: standard output")
    return parser


def _conflict(options: argparse.Namespace) -> str | None:
    """Return what is wrong with the options together, or `None`."""
    if options.model == "mnist" and (options.image_size or options.classes):
        return "--image-size and --classes go with vgg models; mnist has 28x28 and 10"
    if options.epochs and options.data == SYNTHETIC:
        return "--epochs needs real data: there is nothing to learn in random images"
    if options.target_accuracy and not options.epochs:
        return "--target-accuracy needs --epochs"
    if options.checksums and options.data in {SYNTHETIC, DIGITS}:
        return "--checksums goes with a path in --data"
    if options.output != STDOUT:
        # After an hour's run is too late to find out.
        folder = Path(options.output).absolute().parent
        if not os.access(folder, os.W_OK | os.X_OK) or Path(options.output).is_dir():
            return f"--output {options.output}: can't be written"
    return None


def _settings(options: argparse.Namespace) -> Settings:
    mnist = options.model == "mnist"
    batch_size = DEFAULT_BATCH_SIZES.get(options.model, DEFAULT_VGG_BATCH_SIZE)
    limit = options.time_limit
    if limit is None and options.steps is None:
        limit = DEFAULT_TIME_LIMIT
    return Settings(
        model=options.model,
        batch_size=options.batch_size or batch_size,
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
    )


class Writer:
    """Writes the document to a file or standard output; `done` says whether that went well."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.done = False

    def write(self, document: Json) -> None:
        """Write the document; standard error says why, if it can't be written."""
        text = output.to_text(document)
        try:
            if self._target == STDOUT:
                sys.stdout.write(text)
                sys.stdout.flush()
            else:
                output.write_atomically(Path(self._target), text)
        except OSError as error:
            sys.stderr.write(f"payload: the document can't be written: {error}\n")
            if self._target == STDOUT:
                # Python flushes standard output once more at its end, and would fail again.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        else:
            self.done = True


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
