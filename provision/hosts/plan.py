"""From a host's state and a wish to the steps that lead there. Pure: no clock, no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from provision.hosts.differences import Differences, differences
from provision.hosts.obstacles import Displaced, displaced, obstacles
from provision.hosts.wish import Wish
from provision.plan.model import Finding, Severity
from provision.plan.snapshot import Connection
from provision.vsphere.host_port import Claim, GraphicsSettings, HostState

# A claim on a host's maintenance mode is believed this long. An administrator may have ended
# that maintenance and begun one of their own, which vdl must not end.
CLAIM_LIFETIME = timedelta(hours=24)


class StepKind(StrEnum):
    """What a step does, in the order in which steps are taken."""

    ENTER_MAINTENANCE = "enter-maintenance"
    SET_PASSTHROUGH = "set-passthrough"
    SET_LABELS = "set-labels"
    SET_GRAPHICS = "set-graphics"
    REBOOT = "reboot"
    WAIT = "wait-for-return"
    VERIFY = "verify"
    LEAVE_MAINTENANCE = "leave-maintenance"


@dataclass(frozen=True, slots=True)
class Step:
    """One step, and why it is taken.

    `passthrough` is the setting of each card by address, for `set-passthrough`; `labels` are
    those that `set-labels` gives to cards by address; `graphics` is what `set-graphics` sets.
    """

    kind: StepKind
    reason: str
    passthrough: Mapping[str, bool] = field(default_factory=dict)
    graphics: GraphicsSettings = field(default_factory=GraphicsSettings)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostPlan:
    """What is to be done to a host, in order.

    Attributes:
        wish: What is wanted, in words.
        displaced: What happens to the VMs that run on the host.
        findings: Those of severity `error` stand in the way.
    """

    host: str
    wish: str
    steps: tuple[Step, ...] = ()
    displaced: tuple[Displaced, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def blocked(self) -> bool:
        """Whether a finding of severity `error` stands in the way."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)


def host_plan(state: HostState, wish: Wish, now: datetime, *, leave: bool = False) -> HostPlan:
    """Return the steps from a host's state to a wish, and what stands in the way.

    Args:
        state: The host.
        wish: What is wanted.
        now: The time, with its zone, to judge the age of vdl's claim by.
        leave: Leave maintenance mode at the end, whoever entered it.

    Raises:
        UsageError: The wish names a card that the host does not have.
    """
    wanted = differences(state, wish)
    ours = leave or claimed(state, now)
    steps = tuple(_steps(state, wanted, ours=ours))
    resuming = state.connection is not Connection.CONNECTED and bool(steps)
    stopping = any(step.kind is StepKind.ENTER_MAINTENANCE for step in steps)
    return HostPlan(
        host=state.name,
        wish=wish.text(),
        steps=steps,
        displaced=displaced(state) if stopping else (),
        findings=tuple(
            obstacles(state, wish, wanted, stopping=stopping, resuming=resuming, ours=ours)
        ),
    )


def claimed(state: HostState, now: datetime) -> bool:
    """Tell whether it was vdl that put the host into the maintenance mode that it is in."""
    since = state.claim.maintenance
    return state.in_maintenance and since is not None and now - since < CLAIM_LIFETIME


def _steps(state: HostState, wanted: Differences, *, ours: bool) -> Iterator[Step]:
    if state.connection is not Connection.CONNECTED:
        yield from _after_absence(state, ours=ours)
        return
    entering = wanted.needs_reboot and not state.in_maintenance
    if entering:
        yield Step(StepKind.ENTER_MAINTENANCE, "a reboot needs a host without running VMs")
    if wanted.passthrough:
        yield Step(
            StepKind.SET_PASSTHROUGH, _toggles(wanted.passthrough), passthrough=wanted.passthrough
        )
    if wanted.labels:
        texts = sorted(set(wanted.labels.values()))
        reason = f"{', '.join(texts)} for {', '.join(sorted(wanted.labels))}"
        yield Step(StepKind.SET_LABELS, reason, labels=wanted.labels)
    if wanted.graphics is not None:
        yield Step(StepKind.SET_GRAPHICS, "; ".join(wanted.settings), graphics=wanted.graphics)
    if wanted.needs_reboot:
        yield Step(StepKind.REBOOT, "; ".join(wanted.pending))
        yield Step(StepKind.WAIT, "the host disconnects and comes back")
    if wanted.any:
        yield Step(StepKind.VERIFY, "the host must show what was asked for")
    if entering or (state.in_maintenance and ours):
        yield Step(StepKind.LEAVE_MAINTENANCE, _leaving(entering=entering))


def _after_absence(state: HostState, *, ours: bool) -> Iterator[Step]:
    """Yield the steps for a host that vdl has sent into a reboot; none for any other."""
    if state.claim == Claim():
        return
    yield Step(StepKind.WAIT, f"the host is {state.connection.value} since a reboot by vdl")
    yield Step(StepKind.VERIFY, "the host must show what was asked for")
    if ours:
        yield Step(StepKind.LEAVE_MAINTENANCE, _leaving(entering=False))


def _toggles(cards: Mapping[str, bool]) -> str:
    parts = []
    for enabled, word in ((True, "on"), (False, "off")):
        addresses = [address for address, wanted in sorted(cards.items()) if wanted is enabled]
        if addresses:
            parts.append(f"passthrough {word} for {', '.join(addresses)}")
    return "; ".join(parts)


def _leaving(*, entering: bool) -> str:
    return "vdl entered it" if entering else "vdl entered it, or was told to leave it"
