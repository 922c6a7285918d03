"""How a run ends: by itself, at its deadline, by Ctrl-C, or before it began."""

import json
import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from provision.deadline import Deadline
from provision.guests.configure import configure
from provision.guests.events import NOT_FINISHED, Event, EventKind
from provision.guests.playbook import PlaybookFailed, PlaybookRun, run_playbook
from provision.guests.resources import data_folder
from tests.guests.sshd import ssh_lab

SLOW_CLOUD_INIT = "#!/bin/sh\nexec sleep 15\n"
LOCAL = {"_meta": {"hostvars": {"here": {"ansible_connection": "local"}}}}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give what is started here a home of its own, by which its processes are known."""
    monkeypatch.setenv("HOME", str(tmp_path / "ours"))
    return tmp_path / "ours"


def leftovers(home: Path) -> list[bytes]:
    """Return the command lines of processes that were started with this home folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # it ended while we looked
            if entry.name.isdigit() and entry.name != str(os.getpid()):
                environment = (entry / "environ").read_bytes().split(b"\0")
                if f"HOME={home}".encode() in environment:
                    found.append((entry / "cmdline").read_bytes())
    return found


def test_the_deadline_ends_the_run_and_whoever_belongs_to_it(tmp_path: Path, home: Path) -> None:
    with ssh_lab(tmp_path, "lab-cpu-1", "lab-cpu-2") as lab:
        lab.guests["lab-cpu-1"].install("cloud-init", SLOW_CLOUD_INIT)
        guests, settings = lab.reach(), lab.settings(tags=("base",))
        result = configure(guests, settings, deadline=Deadline.after(5))
        assert leftovers(home) == []
    assert result.timed_out
    assert result.hosts["lab-cpu-1"].message == NOT_FINISHED
    assert not result.done


def test_ctrl_c_ends_the_run_and_whoever_belongs_to_it(tmp_path: Path, home: Path) -> None:
    def press(event: Event) -> None:
        if event.kind is EventKind.START and "cloud-init" in (event.task or ""):
            raise KeyboardInterrupt

    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        lab.guests["lab-cpu-1"].install("cloud-init", SLOW_CLOUD_INIT)
        with pytest.raises(KeyboardInterrupt):
            configure(lab.reach(), lab.settings(tags=("base",)), on_event=press)
        assert leftovers(home) == []


def test_a_playbook_that_can_t_be_read_is_no_success(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text("- hosts: all\n  tasks: [{no_such_module: {}}]\n")
    with pytest.raises(PlaybookFailed, match="no_such_module"):
        run_playbook(PlaybookRun(broken, LOCAL), tmp_path / "log")


def test_what_a_task_hides_stays_hidden(tmp_path: Path) -> None:
    playbook = tmp_path / "secret.yml"
    task = {"name": "Use it", "ansible.builtin.command": {"argv": ["false", "{{ secret }}"]}}
    play = {"hosts": "all", "gather_facts": False, "tasks": [{**task, "no_log": True}]}
    playbook.write_text(json.dumps([play]))
    events: list[Event] = []
    run = PlaybookRun(playbook, LOCAL, extra_vars={"secret": "xyzzy-marker"}, diff=True)

    result = run_playbook(run, tmp_path / "log", on_event=events.append)

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
