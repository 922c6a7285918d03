"""How long the simulated vCenter takes for each method."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

from provision.errors import SpecError

_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(?:\s*-\s*(\d+(?:\.\d+)?))?\s*(ms|s|min)")


@dataclass(frozen=True, slots=True)
class Span:
    """A duration in seconds, or the limits between which it is drawn."""

    low: float
    high: float


def parse_span(text: object, subject: str) -> Span:
    """Read `5 ms`, `1 s`, `2 min` or a range such as `0.05-5 s`.

    Raises:
        SpecError: The text is no duration; `subject` names the place.
    """
    match = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise SpecError(
            f"{text!r} is no duration", subject=subject, fix="write 5 ms, 1 s, 2 min or 0.05-5 s"
        )
    low, high, unit = match.groups()
    span = Span(float(low) * _UNITS[unit], float(high or low) * _UNITS[unit])
    if span.high < span.low:
        raise SpecError(f"the range {text} ends before it starts", subject=subject)
    return span


def parse_seconds(text: object, subject: str) -> float:
    """Read a duration that is no range.

    Raises:
        SpecError: The text is no duration, or a range.
    """
    span = parse_span(text, subject)
    if span.low != span.high:
        raise SpecError(f"{text} is a range", subject=subject, fix="write one duration")
    return span.low


class Latency:
    """Durations by method.

    A task method's own latency is how long its task takes. The call that starts the task, and
    every method that is not named, takes the default.

    Args:
        default: What everything takes that is not named, in seconds.
        methods: Latencies by WSDL name.
        seed: Where the draws from ranges start.
    """

    def __init__(
        self,
        default: Span = Span(0.0, 0.0),
        methods: Mapping[str, Span] | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self.default = default
        self.methods = dict(methods or {})
        self._random = random.Random(seed)  # noqa: S311 - jitter, no secret

    @classmethod
    def parse(cls, table: Mapping[str, object], *, seed: int = 0) -> Latency:
        """Read the `latency` part of a world file.

        Raises:
            SpecError: A value is no duration.
        """
        spans = {name: parse_span(text, f"latency {name}") for name, text in table.items()}
        default = spans.pop("default", Span(0.0, 0.0))
        return cls(default, spans, seed=seed)

    def of_call(self, method: str) -> float:
        """Return how long this call shall take, in seconds."""
        own = None if method.endswith("_Task") else self.methods.get(method)
        return self._draw(own or self.default)

    def of_task(self, method: str) -> float:
        """Return how long a task that `method` starts shall take, in seconds."""
        return self._draw(self.methods.get(method, self.default))

    def _draw(self, span: Span) -> float:
        if span.low == span.high:
            return span.low
        return self._random.uniform(span.low, span.high)
