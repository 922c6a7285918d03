"""What happens in a playbook, step by step, and what it comes to for each host."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

NOT_FINISHED = "the run ended before this machine was done"


class EventKind(StrEnum):
    """What an event tells; values are those of the callback plugin."""

    PLAY = "play"
    TASK = "task"
    START = "start"
    OK = "ok"
    CHANGED = "changed"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    SKIPPED = "skipped"
    RETRY = "retry"
    ITEM_OK = "item_ok"
    ITEM_FAILED = "item_failed"
    STATS = "stats"


@dataclass(frozen=True, slots=True)
class Event:
    """One step. `item` is the name of a loop's round; `message` is the task's own words.

    `totals` and `custom` belong to `STATS`: Ansible's counters and what roles said with
    `set_stats`, each by host.
    """

    kind: EventKind
    host: str | None = None
    task: str | None = None
    role: str | None = None
    item: str | None = None
    message: str | None = None
    ignored: bool = False
    totals: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    custom: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HostResult:
    """What a playbook came to on one host.

    `ok`, `changed` and `skipped` count tasks; `ok` holds the changed ones too, as in Ansible.
    `data` is what roles said with `set_stats`, such as `vdl_gate`.
    """

    name: str
    ok: int = 0
    changed: int = 0
    skipped: int = 0
    failed_task: str | None = None
    message: str | None = None
    unreachable: bool = False
    finished: bool = True
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether everything that was asked of this host has been done."""
        return self.finished and not self.unreachable and self.failed_task is None


@dataclass(frozen=True, slots=True)
class PlaybookResult:
    """What a playbook came to. `log` is Ansible's own output, readable by its owner only.

    `timed_out` and `interrupted` tell that it was cut off by its deadline or by a person.
    """

    hosts: Mapping[str, HostResult]
    log: Path | None = None
    timed_out: bool = False
    interrupted: bool = False

    @property
    def done(self) -> bool:
        """Whether every host is done."""
        return not self.failed

    @property
    def failed(self) -> tuple[HostResult, ...]:
        """The hosts that are not done, by name."""
        return tuple(self.hosts[name] for name in sorted(self.hosts) if not self.hosts[name].done)

    @property
    def changed(self) -> int:
        """How many tasks changed something, on all hosts together."""
        return sum(host.changed for host in self.hosts.values())


def parse_event(line: str) -> Event:
    """Read one line of the callback plugin."""
    fields = json.loads(line)
    return Event(**{**fields, "kind": EventKind(fields["kind"])})


class Summary:
    """Adds events up to a result per host."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = {name: HostResult(name, finished=False) for name in hosts}
        self._at: dict[str, str | None] = {}
        self.began = False

    def add(self, event: Event) -> None:
        """Take one event in."""
        self.began = self.began or event.host is not None
        if event.kind is EventKind.STATS:
            self._close(event)
        elif event.host in self._hosts and not event.ignored:
            self._hosts[event.host] = _step(self._hosts[event.host], event)
            self._at[event.host] = event.task

    def _close(self, stats: Event) -> None:
        """Let Ansible's own counters decide: they know of rescued blocks and ignored errors."""
        for name, totals in stats.totals.items():
            if name not in self._hosts:
                continue
            host = self._hosts[name]
            failed = totals["failures"] > 0 or totals["unreachable"] > 0
            self._hosts[name] = replace(
                host,
                ok=totals["ok"],
                changed=totals["changed"],
                skipped=totals["skipped"],
                failed_task=host.failed_task if failed else None,
                message=host.message if failed else None,
                unreachable=totals["unreachable"] > 0,
                finished=True,
                data=stats.custom.get(name, {}),
            )

    def results(self) -> dict[str, HostResult]:
        """Return the result of each host; a host that was cut off says so, and in which task."""
        return {
            name: host
            if host.finished or host.message
            else replace(host, message=NOT_FINISHED, failed_task=self._at.get(name))
            for name, host in self._hosts.items()
        }


def _step(host: HostResult, event: Event) -> HostResult:
    match event.kind:
        case EventKind.OK:
            return replace(host, ok=host.ok + 1)
        case EventKind.CHANGED:
            return replace(host, ok=host.ok + 1, changed=host.changed + 1)
        case EventKind.SKIPPED:
            return replace(host, skipped=host.skipped + 1)
        case EventKind.FAILED | EventKind.UNREACHABLE:
            return replace(
                host,
                failed_task=event.task,
                message=event.message,
                unreachable=event.kind is EventKind.UNREACHABLE,
            )
    return host
