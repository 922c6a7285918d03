"""Runs one of vdl's playbooks in a child process and tells what happens, as it happens.

ansible-playbook sees none of the user's Ansible settings and none of vdl's secrets. It gets
the inventory and the variables in files that only their owner may read, and writes its events
to a pipe.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from provision.apply.interrupt import StopRequest
from provision.deadline import Deadline
from provision.errors import UsageError, VdlError
from provision.guests.baremetal import NO_BARE_METAL, BareMetal
from provision.guests.child import Child, Stopped, child
from provision.guests.environment import ansible_program, environment
from provision.guests.events import Event, PlaybookResult, Summary, parse_event
from provision.guests.files import PRIVATE_FOLDER, write_private
from provision.guests.inventory import Inventory, static_inventory
from provision.guests.stragglers import end_stragglers

MOST_FORKS = 20  # more gain nothing: the controller's CPU is the limit by then
LOG_TAIL_LINES = 15

INVENTORY_FILE = "inventory.json"
VARIABLES_FILE = "vars.json"
LIMIT_FILE = "limit"

OnEvent = Callable[[Event], None]


class PlaybookFailed(VdlError):
    """ansible-playbook ended before it began with any host. `why` holds its own words."""


@dataclass(frozen=True, slots=True)
class PlaybookRun:
    """What to run, and on what.

    Attributes:
        path: The playbook.
        inventory: Hosts and groups in the shape of `ansible-inventory --list`.
        others: Machines from inventory files of the user's own.
        extra_vars: Variables for the roles. Ansible takes them as they are, never as templates.
        tags: Run only tasks with these tags; empty for all.
        limit: Run only on these machines; empty for all.
        check: Change nothing, tell what would change.
        diff: Write the differences of files to the log.
        forks: Hosts at a time; None for as many as there are, up to 20.
    """

    path: Path
    inventory: Inventory
    others: BareMetal = NO_BARE_METAL
    extra_vars: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    limit: tuple[str, ...] = ()
    check: bool = False
    diff: bool = False
    forks: int | None = None

    @property
    def machines(self) -> tuple[str, ...]:
        """The machines that this run is about.

        Raises:
            UsageError: `limit` names a machine that the inventory doesn't hold.
        """
        known = (*self.inventory["_meta"]["hostvars"], *self.others.machines)
        if unknown := [name for name in self.limit if name not in known]:
            raise UsageError(
                f"no such machine: {', '.join(map(repr, unknown))}",
                fix=f"name some of: {', '.join(known) or 'none can be reached'}",
            )
        return self.limit or known


def run_playbook(
    run: PlaybookRun,
    log: Path,
    *,
    on_event: OnEvent = lambda _: None,
    deadline: Deadline | None = None,
    stop: StopRequest | None = None,
) -> PlaybookResult:
    """Run a playbook to its end, to its deadline, or until `stop` asks, and tell what came of it.

    Failures of hosts are in the result. At the deadline, and where `stop` asks, Ansible is ended
    and hosts that were not done are failed; where `stop` asks again, it is not waited for.
    `log` takes Ansible's own output.

    Raises:
        PlaybookFailed: ansible-playbook ended without having run anything.
        UsageError: `run.limit` names an unknown machine.
    """
    machines = run.machines
    if not machines:
        return PlaybookResult({})
    stop = stop or StopRequest()
    summary = Summary(machines)
    log.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="vdl-") as private,
        _log_file(log) as output,
        _ansible(run, Path(private), output, stop) as ansible,
    ):
        try:
            for line in ansible.lines(deadline, stop):
                event = parse_event(line)
                summary.add(event)
                on_event(event)
        except (TimeoutError, Stopped) as cut:
            ansible.end(stop)
            for line in ansible.rest():
                summary.add(parse_event(line))
            interrupted = isinstance(cut, Stopped)
            return PlaybookResult(summary.results(), log, not interrupted, interrupted)
        code = ansible.process.wait()
    if not summary.began and code != 0:
        raise _not_started(run, log, code)
    return PlaybookResult(summary.results(), log)


def command(run: PlaybookRun, folder: Path) -> list[str]:
    """Return the words of the command; everything that varies freely is in files of `folder`."""
    words = [ansible_program("ansible-playbook"), str(run.path)]
    for source in (folder / INVENTORY_FILE, *run.others.sources):
        words += ["--inventory", str(source)]
    words += ["--extra-vars", f"@{folder / VARIABLES_FILE}"]
    words += ["--forks", str(run.forks or min(len(run.machines), MOST_FORKS))]
    words += [f"--tags={','.join(run.tags)}"] if run.tags else []
    words += [f"--limit=@{folder / LIMIT_FILE}"] if run.limit else []
    return words + ["--check"] * run.check + ["--diff"] * run.diff


def unsafe(value: object) -> object:
    """Mark every text in `value` as data, so that Ansible never takes it for a template."""
    match value:
        case str():
            return {"__ansible_unsafe": value}
        case Mapping():
            return {key: unsafe(item) for key, item in value.items()}
        case list() | tuple():
            return [unsafe(item) for item in value]
    return value


def _marked(inventory: Inventory) -> Inventory:
    """Return a static inventory whose variables are data."""
    static = static_inventory(inventory)
    static["all"]["hosts"] = unsafe(static["all"]["hosts"])
    for group in static["all"]["children"].values():
        group["vars"] = unsafe(group["vars"])
    return static


def _log_file(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


@contextmanager
def _ansible(
    run: PlaybookRun, folder: Path, output: IO[bytes], stop: StopRequest
) -> Iterator[Child]:
    """Start ansible-playbook; end it and its connections on the way out."""
    write_private(folder / INVENTORY_FILE, json.dumps(_marked(run.inventory)))
    write_private(folder / VARIABLES_FILE, json.dumps(unsafe(run.extra_vars)))
    write_private(folder / LIMIT_FILE, "".join(f"{name}\n" for name in run.limit))

    def told(pipe: int) -> dict[str, str]:
        return {**environment(folder), "VDL_EVENTS_FD": str(pipe)}

    try:
        with child(command(run, folder), told, output, stop) as running:
            yield running
    finally:
        end_stragglers(folder)


def _not_started(run: PlaybookRun, log: Path, code: int) -> PlaybookFailed:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return PlaybookFailed(
        f"ansible-playbook ended with code {code} before it ran anything",
        subject=run.path.name,
        why="\n".join(lines[-LOG_TAIL_LINES:]),
        fix=f"see {log}",
    )
