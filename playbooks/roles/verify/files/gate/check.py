"""What a check says, and how findings on several cards become one check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PASSED = "passed"
FAILED = "failed"
WARNED = "warned"
UNKNOWN = "unknown"
NOT_APPLICABLE = "not-applicable"

WORST_FIRST = (FAILED, WARNED, UNKNOWN, PASSED, NOT_APPLICABLE)


@dataclass(frozen=True)
class Check:
    """One line of the verdict. `fix` is empty where there is nothing to mend."""

    id: str
    state: str
    expected: str
    seen: str
    evidence: tuple[str, ...] = ()
    fix: str = ""


@dataclass(frozen=True)
class Finding:
    """What a check found on one card: `text` is short, `evidence` is where it stands."""

    state: str
    text: str
    evidence: str = ""
    fix: str = ""


def combine(name: str, expected: str, findings: Sequence[Finding]) -> Check:
    """Return one check: its state is the worst, its evidence is everybody's.

    What it saw is what the worst ones say, each once.
    """
    state = min((f.state for f in findings), key=WORST_FIRST.index)
    worst = [f for f in findings if f.state == state]
    return Check(
        name,
        state,
        expected,
        "; ".join(dict.fromkeys(f.text for f in worst)),
        tuple(f.evidence for f in findings if f.evidence),
        "; ".join(dict.fromkeys(f.fix for f in worst if f.fix)),
    )
