"""Runs one of vdl's playbooks in a child process and tells what happens, as it happens.

ansible-playbook sees none of the user's Ansible settings and none of vdl's secrets. It gets
the inventory and the variables in files that only their owner may read, and writes its events
to a pipe.
"""

from __future__ import annotations

import json
import os
import selectors
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from provision.deadline import Deadline
from provision.errors import UsageError, VdlError
from provision.guests.events import Event, PlaybookResult, Summary, parse_event
from provision.guests.files import write_private
from provision.guests.inventory import Inventory, static_inventory
from provision.guests.ssh import ssh_options

HERE = Path(__file__).resolve().parent

MOST_FORKS = 20  # more gain nothing: the controller's CPU is the limit by then
GRACE_SECONDS = 10.0
LOG_TAIL_LINES = 15
LOG_NAME = "ansible.log"

# What ansible-playbook and ssh need of vdl's own environment. Nothing of VDL_* or ANSIBLE_*
# passes: the first may hold a password, the second would change what a run does.
PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "SSH_AUTH_SOCK")

OnEvent = Callable[[Event], None]


class PlaybookFailed(VdlError):
    """ansible-playbook ended before it began with any host. `why` holds its own words."""


@dataclass(frozen=True, slots=True)
class PlaybookRun:
    """What to run, and on what.

    Attributes:
        path: The playbook.
        inventory: Hosts and groups in the shape of `ansible-inventory --list`.
        extra_vars: Variables for the roles. Ansible takes them as they are, never as templates.
        tags: Run only tasks with these tags; empty for all.
        limit: Run only on these machines; empty for all.
        check: Change nothing, tell what would change.
        diff: Write the differences of files to the log.
        forks: Hosts at a time; None for as many as there are, up to 20.
    """

    path: Path
    inventory: Inventory
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
        known = tuple(self.inventory["_meta"]["hostvars"])
        if unknown := [name for name in self.limit if name not in known]:
            raise UsageError(
                f"no such machine: {', '.join(map(repr, unknown))}",
                fix=f"name some of: {', '.join(known) or 'none can be reached'}",
            )
        return self.limit or known


def run_playbook(
    run: PlaybookRun,
    log_dir: Path,
    *,
    on_event: OnEvent = lambda _: None,
    deadline: Deadline | None = None,
) -> PlaybookResult:
    """Run a playbook to its end, to its deadline, or to Ctrl-C, and return what it came to.

    Failures of hosts are in the result. At the deadline the run ends and hosts that were not
    done are failed; on `KeyboardInterrupt` it ends and the interrupt goes on to the caller.

    Raises:
        PlaybookFailed: ansible-playbook ended without having run anything.
        UsageError: `run.limit` names an unknown machine.
    """
    machines = run.machines
    if not machines:
        return PlaybookResult({})
    summary = Summary(machines)
    log_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = log_dir / LOG_NAME
    started = False
    with (
        tempfile.TemporaryDirectory(prefix="vdl-") as private,
        _log_file(log) as output,
        _child(run, Path(private), output) as (process, pipe),
    ):
        try:
            for event in _events(pipe, deadline):
                started = started or event.host is not None
                summary.add(event)
                on_event(event)
            code = process.wait(timeout=deadline.left if deadline else None)
        except (TimeoutError, subprocess.TimeoutExpired):
            return PlaybookResult(summary.results(), log, timed_out=True)
    if not started and code != 0:
        raise _not_started(run, log, code)
    return PlaybookResult(summary.results(), log)


def command(run: PlaybookRun, folder: Path) -> list[str]:
    """Return the words of the command; everything that varies freely is in files of `folder`."""
    words = [_ansible_playbook(), str(run.path), "--inventory", str(folder / "inventory.json")]
    words += ["--extra-vars", f"@{folder / 'vars.json'}"]
    words += ["--forks", str(run.forks or min(len(run.machines), MOST_FORKS))]
    words += [f"--tags={','.join(run.tags)}"] if run.tags else []
    words += [f"--limit={','.join(run.limit)}"] if run.limit else []
    return words + ["--check"] * run.check + ["--diff"] * run.diff


def environment(folder: Path, events_fd: int) -> dict[str, str]:
    """Return the whole environment of the child."""
    return {
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        "LC_ALL": "C.UTF-8",  # Ansible refuses to start in any other encoding
        "PYTHONUTF8": "1",
        "ANSIBLE_CONFIG": str(HERE / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        # A socket's path may have 104 characters (macOS), so the folder has a short name.
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "cp"),
        # For machines that bring no options of their own: the lab's have theirs as variables.
        "ANSIBLE_SSH_COMMON_ARGS": shlex.join(ssh_options()),
        "VDL_EVENTS_FD": str(events_fd),
    }


def _ansible_playbook() -> str:
    """Return the ansible-playbook of vdl's own Python; another one on PATH may be of any age."""
    # Not resolved: in a virtual environment, python is a link to somewhere else.
    path = Path(sys.executable).parent / "ansible-playbook"
    if path.exists():
        return str(path)
    raise UsageError(
        "ansible-playbook is missing", subject=str(path), fix="install ansible-core beside vdl"
    )


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
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


@contextmanager
def _child(
    run: PlaybookRun, folder: Path, output: IO[bytes]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start ansible-playbook in a process group of its own and end the group on the way out."""
    write_private(folder / "inventory.json", json.dumps(_marked(run.inventory)))
    write_private(folder / "vars.json", json.dumps(unsafe(run.extra_vars)))
    reader, writer = os.pipe()
    try:
        process = subprocess.Popen(
            command(run, folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment(folder, writer),
            pass_fds=[writer],
            process_group=0,
        )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    try:
        yield process, reader
    finally:
        _end(process)
        os.close(reader)
        _close_connections(folder / "cp")


def _events(pipe: int, deadline: Deadline | None) -> Iterator[Event]:
    """Yield events until the child closes its end.

    Raises:
        TimeoutError: The deadline has passed.
    """
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(deadline.left if deadline else None):
                raise TimeoutError
            chunk = os.read(pipe, 65536)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield parse_event(line.decode())


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the child if it still runs. On SIGTERM Ansible ends its workers, which are apart."""
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _close_connections(folder: Path) -> None:
    """Ask the ssh connections that Ansible shares between tasks to end now, not in a minute."""
    for control in folder.glob("*"):
        words = ["ssh", "-o", f"ControlPath={control}", "-O", "exit", "guest"]
        subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def _not_started(run: PlaybookRun, log: Path, code: int) -> PlaybookFailed:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return PlaybookFailed(
        f"ansible-playbook ended with code {code} before it ran anything",
        subject=run.path.name,
        why="\n".join(lines[-LOG_TAIL_LINES:]),
        fix=f"see {log}",
    )
