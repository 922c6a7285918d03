"""`--self-test`: does this machine train rightly? Half a minute on two CPU cores.

The first losses of a run on the built-in digits must be those that were measured where the
payload was written, and a few epochs must lead to `ACCURACY`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from payload import engines
from payload.apart.channel import Channel
from payload.apart.death import Traces
from payload.apart.process import do_apart
from payload.document import Record
from payload.errors import PayloadError
from payload.interrupt import StopRequest
from payload.progress import Progress
from payload.run import now
from payload.settings import DIGITS, Settings

VERSION = 1
KIND = "vdl-self-test"
ACCURACY = 0.95
EPOCHS = 10
BATCH_SIZE = 64
FIRST_LOSSES = {
    "tensorflow": (2.29568, 2.38724, 2.17341, 2.10133, 2.08355),
    "jax": (2.30188, 2.38039, 2.18667, 2.08152, 2.07658),
    "torch": (2.28451, 2.44151, 2.12849, 2.08006, 2.05289),
}
"""Losses of the first steps with seed 0, by engine: each draws its own dropout. Measured in fp32 on
x86-64 CPUs with TensorFlow 2.21, JAX 0.10 and PyTorch 2.13."""
TOLERANCE = 0.02
"""Of a loss, relative: kernels add up in another order, and TF32 has 10 bits of mantissa. A wrong
learning rate, scale or label is off by more after five steps."""


def run(engine: str, check_stop: Callable[[], None], say: Callable[[str], None]) -> dict[str, Any]:
    """Train as the test wants it and return its document, of version 1.

    `passed` says whether everything went as it should, `reasons` what did not.
    """
    started = time.monotonic()
    losses: list[float] = []
    accuracies: list[float] = []
    try:
        _train(engine, check_stop, say, losses, accuracies)
        reasons = [*_loss_reasons(FIRST_LOSSES[engine], losses), *_accuracy_reasons(accuracies)]
    except PayloadError as failure:
        reasons = [failure.reason]
    return _describe(engine, started, losses, accuracies, reasons)


def run_apart(engine: str, stop: StopRequest, say: Callable[[str], None]) -> dict[str, Any]:
    """Do the same in a process of its own; the document says what that process died of."""
    started, traces, documents = time.monotonic(), Traces(), list[dict[str, Any]]()

    def work(channel: Channel, stop_here: StopRequest) -> None:
        progress = Progress(sys.stderr, time.monotonic, BATCH_SIZE)
        channel.deliver(run(engine, stop_here.check, progress.say))

    ended = do_apart(work, stop, documents.append, say, look=traces.look)
    if documents:
        return documents[-1]
    return _describe(engine, started, [], [], [traces.failure(ended).reason])


def _describe(
    engine: str,
    started: float,
    losses: list[float],
    accuracies: list[float],
    reasons: list[str],
) -> dict[str, Any]:
    return {
        "version": VERSION,
        "kind": KIND,
        "engine": engine,
        "losses": losses,
        "stored_losses": list(FIRST_LOSSES[engine]),
        "tolerance": TOLERANCE,
        "accuracies": accuracies,
        "accuracy_wanted": ACCURACY,
        "seconds": time.monotonic() - started,
        "passed": not reasons,
        "reasons": reasons,
    }


def _train(
    name: str,
    check_stop: Callable[[], None],
    say: Callable[[str], None],
    losses: list[float],
    accuracies: list[float],
) -> None:
    """Fill `losses` with those of the first steps, and `accuracies` with one for each epoch."""
    say(f"loading the engine {name}")
    engine = engines.load(name)
    from payload import preparation  # noqa: PLC0415 imports Keras, on top of the engine just loaded

    settings = Settings("mnist", BATCH_SIZE, data=DIGITS, engine=name)
    record = Record(settings, started=now())
    trainer = preparation.prepare(engine, preparation.set_up(engine, settings, record), record)
    for _ in FIRST_LOSSES[name]:
        check_stop()
        losses.append(trainer.run(1))
    say("first losses: " + ", ".join(f"{loss:.4f}" for loss in losses))
    for epoch in range(1, EPOCHS + 1):
        check_stop()
        trainer.run(trainer.epoch_steps)
        accuracies.append(trainer.accuracy())
        say(f"epoch {epoch}: {accuracies[-1]:.1%} of the test images")
        if accuracies[-1] > ACCURACY:
            return


def _loss_reasons(stored: Sequence[float], losses: Sequence[float]) -> list[str]:
    return [
        f"losses: step {step} has {loss:.4f}, stored is {wanted:.4f}"
        for step, (loss, wanted) in enumerate(zip(losses, stored, strict=True), 1)
        if not abs(loss - wanted) <= TOLERANCE * wanted  # a NaN is not within anything
    ]


def _accuracy_reasons(accuracies: list[float]) -> list[str]:
    if accuracies[-1] > ACCURACY:
        return []
    return [
        f"accuracy: {accuracies[-1]:.1%} after {EPOCHS} epochs, more than {ACCURACY:.0%} wanted"
    ]
