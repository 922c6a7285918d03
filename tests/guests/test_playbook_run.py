"""How a run ends: by itself, at its deadline, by Ctrl-C, or before it began."""

import json
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from provision.apply.interrupt import StopRequest
from provision.deadline import Deadline
from provision.guests.configure import configure
from provision.guests.events import NOT_FINISHED, Event, EventKind
from provision.guests.playbook import PlaybookFailed, PlaybookRun, run_playbook
from provision.guests.resources import data_folder
from provision.guests.runs import Failures, RunKind
from tests.guests.sshd import ssh_lab

SLOW_SECONDS = 60
SLOW_CLOUD_INIT = f"#!/bin/sh\nexec sleep {SLOW_SECONDS}\n"
LOCAL = {"_meta": {"hostvars": {"here": {"ansible_connection": "local"}}}}


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give what is started here a folder for temporary files, which its processes name."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def leftovers(temporary: Path) -> list[str]:
    """Return the command lines of processes that name the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # it ended while we looked
            found.append((entry / "cmdline").read_text() if entry.name.isdigit() else "")
    return [line for line in found if str(temporary) in line]


def test_the_deadline_ends_the_run_and_whoever_belongs_to_it(
    tmp_path: Path, temporary: Path
) -> None:
    with ssh_lab(tmp_path, "lab-cpu-1", "lab-cpu-2") as lab:
        lab.guests["lab-cpu-1"].install("cloud-init", SLOW_CLOUD_INIT)
        guests, settings = lab.reach(), lab.settings(tags=("base",))
        result = configure(guests, settings, deadline=Deadline.after(5))
        assert leftovers(temporary) == []
    assert result.timed_out
    assert result.hosts["lab-cpu-1"].message == NOT_FINISHED
    assert not result.done


def test_a_request_to_stop_ends_the_run_and_keeps_what_is_done(
    tmp_path: Path, temporary: Path
) -> None:
    stop = StopRequest()

    def press(event: Event) -> None:
        if event.kind is EventKind.START and "cloud-init" in (event.task or ""):
            stop.request()

    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        lab.guests["lab-cpu-1"].install("cloud-init", SLOW_CLOUD_INIT)
        settings = lab.settings(tags=("base",))
        result = configure(lab.reach(), settings, on_event=press, stop=stop)
        assert leftovers(temporary) == []
        failures = Failures.of(settings.state, RunKind.CONFIGURE).read()
    host = result.hosts["lab-cpu-1"]
    assert (result.interrupted, result.timed_out, host.done) == (True, False, False)
    assert host.ok > 0
    assert host.failed_task == "Wait for cloud-init and look for Python"
    assert host.message == NOT_FINISHED
    assert list(failures) == ["lab-cpu-1"]


def test_a_second_request_waits_for_nothing(tmp_path: Path, temporary: Path) -> None:
    stop = StopRequest()

    def press(event: Event) -> None:
        if event.kind is EventKind.START and "cloud-init" in (event.task or ""):
            stop.request()
            stop.request()

    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        lab.guests["lab-cpu-1"].install("cloud-init", SLOW_CLOUD_INIT)
        settings = lab.settings(tags=("base",))
        started = time.monotonic()
        result = configure(lab.reach(), settings, on_event=press, stop=stop)
        assert result.interrupted
        assert time.monotonic() - started < SLOW_SECONDS
        assert leftovers(temporary) == []


def test_an_exception_in_between_ends_the_run_too(tmp_path: Path, temporary: Path) -> None:
    def press(event: Event) -> None:
        if event.kind is EventKind.START and "cloud-init" in (event.task or ""):
            raise KeyboardInterrupt

    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        lab.guests["lab-cpu-1"].install("cloud-init", SLOW_CLOUD_INIT)
        with pytest.raises(KeyboardInterrupt):
            configure(lab.reach(), lab.settings(tags=("base",)), on_event=press)
        assert leftovers(temporary) == []


def test_a_playbook_that_can_t_be_read_is_no_success(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text("- hosts: all\n  tasks: [{no_such_module: {}}]\n")
    with pytest.raises(PlaybookFailed, match="no_such_module"):
        run_playbook(PlaybookRun(broken, LOCAL), tmp_path / "run.log")


def test_what_a_task_hides_stays_hidden(tmp_path: Path) -> None:
    playbook = tmp_path / "secret.yml"
    task = {"name": "Use it", "ansible.builtin.command": {"argv": ["false", "{{ secret }}"]}}
    play = {"hosts": "all", "gather_facts": False, "tasks": [{**task, "no_log": True}]}
    playbook.write_text(json.dumps([play]))
    events: list[Event] = []
    run = PlaybookRun(playbook, LOCAL, extra_vars={"secret": "xyzzy-marker"}, diff=True)

    result = run_playbook(run, tmp_path / "run.log", on_event=events.append)

    host = result.hosts["here"]
    assert host.failed_task == "Use it"
    assert "hidden" in (host.message or "")
    assert result.log is not None
    assert "Use it" in result.log.read_text()
    for text in (repr(events), repr(result), result.log.read_text()):
        assert "xyzzy-marker" not in text
    assert stat.S_IMODE(result.log.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["site.yml", "benchmark.yml"])
def test_playbooks_work_from_a_checkout_without_vdl(name: str) -> None:
    folder = data_folder("playbooks")
    words = [str(Path(sys.executable).with_name("ansible-playbook")), "--syntax-check"]
    words += ["--inventory", "inventory/baremetal.example.yml", str(folder / name)]
    done = subprocess.run(words, cwd=folder.parent, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
