"""Runs in a process of its own, since Keras takes one engine per process.

`child.py ENGINE TASK [SETTINGS]` prints what the task found, as JSON. SETTINGS are those of
`payload.settings.Settings`, as JSON.
"""

import json
import sys
from datetime import UTC, datetime
from typing import Any

from payload import engines
from payload.data import shares
from payload.document import Record
from payload.engines.port import Engine
from payload.loop import Trainer
from payload.settings import MODELS, Settings

STEPS = 10


def losses(engine: Engine, settings: Settings) -> Any:
    """Return the losses of the first steps without dropout, whose masks are each engine's own."""
    from keras import layers  # noqa: PLC0415 the engine comes first

    from payload import preparation  # noqa: PLC0415

    engine.set_up(settings)
    model = preparation.build_model(engine, settings)
    for layer in model.layers:
        if isinstance(layer, layers.Dropout):
            layer.rate = 0
    trainer = preparation.build_trainer(engine, model, shares.load(settings), settings)
    return {"losses": [trainer.run(1) for _ in range(STEPS)], "imported": frameworks()}


def frameworks() -> list[str]:
    return [name for name in ("tensorflow", "jax", "torch") if name in sys.modules]


def prepared(engine: Engine, settings: Settings) -> Trainer:
    from payload import preparation  # noqa: PLC0415 the engine comes first

    record = Record(settings, datetime.now(UTC))
    return preparation.prepare(engine, preparation.set_up(engine, settings, record), record)


def again(engine: Engine, settings: Settings) -> Any:
    """Return the losses with dropout, those after a restart, and the accuracy then."""
    trainer = prepared(engine, settings)
    trainer.remember_start()
    first = [trainer.run(1) for _ in range(STEPS)]
    trainer.restart()
    return {
        "first": first,
        "again": [trainer.run(1) for _ in range(STEPS)],
        "accuracy": trainer.accuracy(),
    }


def learnt(engine: Engine, settings: Settings) -> Any:
    """Return the first loss, and the one after some more steps."""
    trainer = prepared(engine, settings)
    return {"first": trainer.run(1), "last": trainer.run(3 * STEPS)}


def counts(engine: Engine, settings: Settings) -> Any:
    """Return parameters and operations of every model at its usual size."""
    from payload import flops, models  # noqa: PLC0415 the engine comes first

    engine.set_up(settings)
    found = {}
    for name in MODELS:
        shape, classes = ((28, 28, 1), 10) if name == "mnist" else ((224, 224, 3), 1000)
        model = models.build(name, image_shape=shape, classes=classes, precision="fp32")
        counted = flops.per_image(model).as_dict()
        found[name] = {"parameters": model.count_params(), **counted}
    return found


TASKS = {"losses": losses, "again": again, "learnt": learnt, "counts": counts}

if __name__ == "__main__":
    name, task, values = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    asked = Settings(engine=name, **values)
    print(json.dumps(TASKS[task](engines.load(name), asked)))  # noqa: T201 how it answers
