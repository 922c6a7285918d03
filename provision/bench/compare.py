"""Comparison of results: like with like only, each against the same baseline."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from itertools import groupby
from statistics import median

from provision.bench.gates import WARNED
from provision.bench.results import Interval, Result

# What a machine is compared with: the first of these modes that the set has. Bare metal is
# what virtualisation is measured against; without it, the closest thing to it.
BASELINES = ("bare-metal", "passthrough", "vgpu", "group", "none")
MOST_NAMES = 4
KNOWN_DATA = frozenset({"synthetic", "digits", "mnist"})
"""Sources that are the same everywhere: random, or held against published checksums."""
DIFFERENCES = {
    "GPU drivers": "driver",
    "versions of TensorFlow": "tensorflow",
    "versions of JAX": "jax",
    "versions of PyTorch": "torch",
    "versions of Keras": "keras",
    "CPUs": "cpu",
    "GPUs multiply fp32 alike (TF32)": "tf32",
}


@dataclass(frozen=True, slots=True)
class Likeness:
    """What must be equal before two speeds may stand in one table."""

    model: str
    image_shape: tuple[int, ...]
    batch_size: int
    precision: str
    data: str
    engine: str
    devices: int = 1
    xla: bool = False
    files: str = ""

    @property
    def title(self) -> str:
        """One line that names what was trained, and how."""
        shape = "x".join(map(str, self.image_shape))
        more = [f"{self.devices} devices"] if self.devices > 1 else []
        more += ["XLA"] if self.xla else []
        data = f"{self.data} data" + (f" {self.files}" if self.files else "")
        trained = (f"{self.model} {shape}", f"batch {self.batch_size}", self.precision, data)
        return ", ".join([*trained, self.engine, *more])


@dataclass(frozen=True, slots=True)
class Row:
    """One valid result beside the baseline.

    `speed` is in images per second, `ratio` is speed over the baseline's median speed. The
    ends of `ratio` come from the ends of both intervals, so they are a little too wide, never
    too narrow.
    """

    result: Result
    speed: Interval
    ratio: Interval


@dataclass(frozen=True, slots=True)
class Comparison:
    """All results of one likeness. `invalid` ones are shown, and left out of comparisons."""

    likeness: Likeness
    baseline: str | None
    rows: tuple[Row, ...]
    invalid: tuple[Result, ...]
    notes: tuple[str, ...] = ()

    @property
    def simulated(self) -> bool:
        """Whether any number comes from a simulated guest."""
        return any(r.result.machine.simulated for r in self.rows)


def compare(results: Iterable[Result]) -> tuple[Comparison, ...]:
    """Sort results into sets of equal likeness and compare within each set."""

    def order(result: Result) -> tuple[str, ...]:
        return (repr(_likeness(result)), _rank(result), result.machine.name, result.run_id)

    ordered = sorted(results, key=order)
    return tuple(
        _compare_like(likeness, list(members))
        for likeness, members in groupby(ordered, key=_likeness)
    )


def _likeness(result: Result) -> Likeness:
    document = result.document
    return Likeness(
        result.model,
        result.image_shape,
        result.batch_size,
        result.precision,
        result.data,
        result.engine,
        document.get("devices", 1),
        bool((document.get("xla") or {}).get("used")),
        _files(result),
    )


def _files(result: Result) -> str:
    """Return a short digest of data that its source does not tell, such as a folder of images."""
    digests = (result.document.get("data") or {}).get("sha256")
    if not digests or result.data in KNOWN_DATA:
        return ""
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[:8]


def _rank(result: Result) -> str:
    mode = result.machine.gpu_mode
    return str(BASELINES.index(mode) if mode in BASELINES else len(BASELINES))


def _compare_like(likeness: Likeness, results: list[Result]) -> Comparison:
    measured = [(r, r.speed) for r in results if r.valid and r.speed]
    invalid = tuple(r for r in results if not (r.valid and r.speed))
    modes = {r.machine.gpu_mode for r, _ in measured}
    baseline = next((mode for mode in BASELINES if mode in modes), None)
    base = _middle([speed for r, speed in measured if r.machine.gpu_mode == baseline])
    rows = tuple(Row(r, speed, _ratio(speed, base)) for r, speed in measured)
    return Comparison(likeness, baseline, rows, invalid, tuple(_notes([r for r, _ in measured])))


def _middle(speeds: list[Interval]) -> Interval:
    """Return the interval of medians over several machines; of ones where there are none."""
    if not speeds:
        return Interval(1, 1, 1)
    return Interval(*(median(column) for column in zip(*map(astuple, speeds), strict=True)))


def _ratio(speed: Interval, base: Interval) -> Interval:
    return Interval(speed.low / base.high, speed.median / base.median, speed.high / base.low)


def _notes(results: list[Result]) -> Iterable[str]:
    """Name differences between machines that a reader of the table must know of."""
    for name, key in DIFFERENCES.items():
        values = {str(value) for r in results if (value := _environment(r, key))}
        if len(values) > 1:
            same = name if "(" in name else f"{name} are the same"
            yield f"not all {same}: {', '.join(sorted(values))}"
    if len({r.machine.simulated for r in results}) > 1:
        yield "simulated and real machines stand in one table"
    yield from _warnings(results)


def _warnings(results: list[Result]) -> Iterable[str]:
    """Name what gates and runs warned of, and which machines: it may explain a difference."""
    machines: dict[str, list[str]] = {}
    for result in results:
        gates = (gate for gate in (result.gate, result.gate_after) if gate is not None)
        for line in dict.fromkeys(c.line for gate in gates for c in gate.in_state(WARNED)):
            machines.setdefault(line, []).append(result.machine.name)
        for line in result.document.get("warnings") or []:
            machines.setdefault(line, []).append(result.machine.name)
    for line, names in sorted(machines.items()):
        told = list(dict.fromkeys(names))
        more = f" and {len(told) - MOST_NAMES} more" if len(told) > MOST_NAMES else ""
        yield f"{', '.join(told[:MOST_NAMES])}{more}: {line}"


def _environment(result: Result, key: str) -> str | None:
    environment = result.document.get("environment", {})
    match key:
        case "driver":
            gpus = environment.get("gpus") or []
            return ", ".join(sorted({str(g.get("driver")) for g in gpus})) or None
        case "tf32":
            framework = environment.get("framework") or {}
            used = framework.get("gpus") and result.precision == "fp32"
            return ("with" if framework.get("tensor_float_32") else "without") if used else None
        case "cpu":
            model = environment.get("cpu", {}).get("model")
        case _:
            model = (environment.get("framework") or {}).get(key)
    return str(model) if model else None
