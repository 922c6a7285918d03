"""A plan: sorted, frozen data. What it looks like as text or JSON is the renderers' business."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from provision.plan.snapshot import Vm
from provision.spec.model import Machine


class ActionKind(StrEnum):
    """What is to be done to one machine."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DESTROY = "destroy"
    NONE = "none"


class Severity(StrEnum):
    """`error` blocks the plan, `warning` is shown."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class CardChoice:
    """A card that a machine will hold.

    A vGPU's card is picked by the host at power-on, so `address` is then what the host's own
    policy leads to when machines are powered on in the plan's order. `profile` is None for
    passthrough. `numa_node` is None where the host does not tell.
    """

    host: str
    address: str
    profile: str | None = None
    numa_node: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between a VM and its spec: `old` → `new`, as shown to a person."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Action:
    """What happens to one machine, and why.

    `vm` is the machine as it is now (None for `create`). `spec` is the machine as it shall be
    (None for `destroy`). `host_id`, `template_id`, ... are the managed objects to use.
    `settings` are the derived VM settings, as `extraConfig` and hardware keys, in the words
    that the plan shows. `restart` is False where a running VM is changed while it runs.
    """

    kind: ActionKind
    machine: str
    reason: str
    spec: Machine | None = None
    vm: Vm | None = None
    host: str | None = None
    host_id: str | None = None
    datastore_id: str | None = None
    cards: tuple[CardChoice, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    restart: bool = True

    @property
    def moves(self) -> bool:
        """Whether the VM goes on on another host."""
        if self.kind is not ActionKind.UPDATE or self.vm is None or self.host_id is None:
            return False
        return self.vm.host_id not in (None, self.host_id)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know before anything changes."""

    severity: Severity
    code: str
    subject: str
    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that `apply` will do, in the order in which it will start it.

    Attributes:
        fingerprint: SHA-256 over the resolved lab and the part of the world that the plan
            depends on. Another fingerprint at apply time means that the plan is stale.
    """

    lab: str
    fingerprint: str
    actions: tuple[Action, ...]
    findings: tuple[Finding, ...] = ()
    template_id: str | None = None
    network_id: str | None = None

    @property
    def blocked(self) -> bool:
        """Whether a finding of severity `error` stands in the way."""
        return any(f.severity is Severity.ERROR for f in self.findings)

    @property
    def pending(self) -> tuple[Action, ...]:
        """The actions that change something."""
        return tuple(a for a in self.actions if a.kind is not ActionKind.NONE)

    def with_findings(self, more: Iterable[Finding]) -> Plan:
        """Return the same plan, fingerprint included, with more findings in their order."""
        every = (*self.findings, *more)
        ordered = sorted(every, key=lambda f: (f.severity, f.code, f.subject))
        return replace(self, findings=tuple(ordered))

    def count(self, kind: ActionKind) -> int:
        """Return how many actions are of this kind."""
        return sum(a.kind is kind for a in self.actions)
