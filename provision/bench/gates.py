"""What machines proved of themselves: the verdicts of the gate, before and after a measurement.

The gate is a program that runs in the guest (`playbooks/roles/verify/files/gate`); its verdict is
a JSON document, which `gate.schema.json` beside it describes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

FAILED = "failed"
WARNED = "warned"
UNKNOWN = "unknown"
NOT_APPLICABLE = "not-applicable"
NO_GATE = "gate: the machine passed none"

# What a machine must keep while it measures: a number belongs to one state of its GPUs.
_OF_MACHINE = {"driver": "driver", "kernel_module": "kernel module", "host_driver": "host's driver"}
_OF_CARD = {
    "name": "name",
    "memory_mib": "memory",
    "virtualization": "virtualization mode",
    "ecc": "ECC mode",
    "mig": "MIG mode",
    "power_limit_w": "power limit",
}


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One check. `state` is passed, failed, warned, unknown or not-applicable."""

    id: str
    state: str
    expected: str
    seen: str
    evidence: tuple[str, ...] = ()
    fix: str = ""

    @property
    def line(self) -> str:
        """The check in one line, such as `licence: Unlicensed (expected: Licensed)`."""
        return f"{self.id}: {self.seen}" + (
            f" (expected: {self.expected})" if self.expected else ""
        )


@dataclass(frozen=True, slots=True)
class Gate:
    """One verdict. A document from before there were checks has none of them."""

    passed: bool
    reasons: tuple[str, ...]
    checks: tuple[GateCheck, ...]
    document: Mapping[str, Any] = field(repr=False)

    def in_state(self, *states: str) -> tuple[GateCheck, ...]:
        """Return the checks in one of these states."""
        return tuple(check for check in self.checks if check.state in states)


def gate_of(document: Mapping[str, Any]) -> Gate:
    """Read a verdict.

    Raises:
        KeyError, TypeError: It is not whole.
    """
    reasons = tuple(str(reason) for reason in document.get("reasons") or ())
    passed = document.get("passed") is True
    return Gate(
        passed,
        reasons if passed or reasons else ("gate: not passed",),
        tuple(_check(check) for check in document.get("checks") or ()),
        document,
    )


def _check(fields: Mapping[str, Any]) -> GateCheck:
    return GateCheck(
        fields["id"],
        fields["state"],
        fields["expected"],
        fields["seen"],
        tuple(fields["evidence"]),
        fields["fix"],
    )


def why_invalid(before: Gate | None, after: Gate | None) -> tuple[str, ...]:
    """Return why a number between two verdicts does not count; nothing where it does.

    `after` is None where nobody looked again, as with documents from before that was done.
    """
    if before is None:
        return (NO_GATE,)
    reasons = [] if before.passed else list(before.reasons)
    if after is not None:
        known = {_name(reason) for reason in reasons}
        fresh = () if after.passed else after.reasons
        reasons += [f"after the run: {why}" for why in fresh if _name(why) not in known]
        reasons += [f"changed during the run: {what}" for what in _changes(before, after)]
    return tuple(reasons)


def _name(reason: str) -> str:
    return reason.partition(":")[0]


def _changes(before: Gate, after: Gate) -> Iterator[str]:
    """Yield what is not as it was; what one of the two does not tell is passed over."""
    old, new = before.document, after.document
    for key, words in _OF_MACHINE.items():
        yield from _change(words, old.get(key), new.get(key))
    if "cards" not in old or "cards" not in new:
        return
    cards = {card["uuid"]: card for card in old["cards"]}
    again = {card["uuid"]: card for card in new["cards"]}
    for uuid in cards.keys() ^ again.keys():
        yield f"GPU {uuid} {'is gone' if uuid in cards else 'is new'}"
    for uuid in cards.keys() & again.keys():
        for key, words in _OF_CARD.items():
            what = f"{words} of GPU {cards[uuid]['index']}"
            yield from _change(what, cards[uuid].get(key), again[uuid].get(key))


def _change(what: str, old: object, new: object) -> Iterator[str]:
    if None not in (old, new) and old != new:
        yield f"{what}: {_words(old)}, then {_words(new)}"


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(map(str, value.values()))
    return f"{value:g}" if isinstance(value, float) else str(value)
