"""`vdl configure` as a person calls it, on two simulated machines with real SSH guests."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.simulator.server import Simulator
from tests.e2e.site import VDL, WORLD, Done, Site, settings
from tests.faults.test_fault_46_secrets import watching

QUICK = ("--tags", "payload")
ONE, TWO = "pair-cpu-1", "pair-cpu-2"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a site with a lab of two machines that stand and can be logged in to."""
    folder = tmp_path_factory.mktemp("pair")
    world = WORLD.replace("guests: none", "guests: ssh")
    with Simulator.from_text(world, folder=folder / "vcenter") as simulator:
        site = Site(folder, settings(asdict(simulator.serve())))
        lab = site.lab("lab", cpu={"count": 2})
        lab.write_text(lab.read_text().replace("lab: lab", "lab: pair"))
        site.vdl("provision", "--yes").good()
        yield site


def home(site: Site, machine: str) -> Path:
    """Return the home folder of a machine's user, which lies on this computer."""
    machines = site.vdl("inventory", "-o", "json").good().json["_meta"]["hostvars"]
    (found,) = site.folder.rglob(f"{machines[machine]['vdl_vm_id']}/home")
    return found


def outcomes(done: Done) -> dict[str, tuple[bool, int, str | None]]:
    return {
        m["machine"]: (m["done"], m["changed"], m["failed_task"]) for m in done.json["machines"]
    }


def logs(site: Site) -> list[Path]:
    return sorted((site.folder / ".vdl/pair/logs/configure").glob("*.log"))


def test_fault_34_the_report_names_one_of_two_and_failed_reruns_only_that(pair: Site) -> None:
    obstacle = home(pair, TWO) / ".local"
    obstacle.touch()
    first = pair.vdl("configure", *QUICK, "-o", "json")
    assert first.code == 4
    assert outcomes(first) == {ONE: (True, 1, None), TWO: (False, 0, "Install the payload")}
    assert "Not a directory" in first.json["machines"][1]["message"]
    assert first.json["log"] == str(logs(pair)[-1])
    assert f"{TWO}: Install the payload: " in first.err
    assert "go on with `vdl configure --failed`" in first.err

    obstacle.unlink()
    second = pair.vdl("configure", "--failed", *QUICK, "-o", "json").good()
    assert outcomes(second) == {TWO: (True, 1, None)}
    third = pair.vdl("configure", "--failed", *QUICK).good()
    assert "nothing to do: no machine failed last time" in third.err
    assert "Install the payload" in logs(pair)[0].read_text()
    assert len(logs(pair)) == 2


def test_a_choice_that_names_nothing_is_refused(pair: Site) -> None:
    words = ("--tags", "base,drivers")
    pair.vdl("configure", *words).refused(2, "the tag 'drivers'", "base, driver, licence")
    for word in ("gpu", "!pair-cpu-1"):
        pair.vdl("configure", "--limit", word).refused(2, "no machine and no group", ONE)


def test_a_check_tells_what_would_change_and_forgets_no_failure(pair: Site) -> None:
    before = sorted(home(pair, ONE).rglob("*"))
    missing = {"payload_dir": "~/elsewhere"}
    words = ("--check", "--diff", "--limit", ONE, *QUICK)
    done = pair.vdl("configure", *words, *given(pair, missing)).good()
    assert "1 machine, 1 change would be made" in done.err
    assert sorted(home(pair, ONE).rglob("*")) == before


def given(site: Site, variables: dict[str, Any]) -> tuple[str, ...]:
    path = site.folder / "vars.yml"
    lines = [f"{name}: {value}\n" for name, value in variables.items()]
    path.write_text("".join(lines), encoding="utf-8")
    return ("--extra-vars", str(path))


def test_fault_46_extra_variables_are_in_no_process_log_or_output(pair: Site) -> None:
    secret = {"ansible_become_password": "MARK3R-of-a-secret", "base_connection_timeout": 60}
    words = ("configure", "--debug", "--tags", "base,payload", "--diff", "-o", "json")
    with watching() as seen:
        done = pair.vdl(*words, *given(pair, secret)).good()
    assert seen == []
    assert "MARK3R" not in done.out + done.err
    kept = [path for path in (pair.folder / ".vdl").rglob("*") if path.is_file()]
    assert logs(pair)[-1] in kept
    assert [path for path in kept if b"MARK3R" in path.read_bytes()] == []


def test_wrong_variables_are_refused_before_vcenter_is_asked(pair: Site) -> None:
    wrong = given(pair, {"ansible_host": "10.0.0.1", "vdl_lab": "other"})
    refused = pair.vdl("configure", *wrong, env={"VDL_SERVER": "127.0.0.1:1"})
    refused.refused(2, "vars.yml:1:1: ansible_host is set by vdl", "vars.yml:2:1: vdl_lab")


def test_ctrl_c_ends_with_130_and_names_what_is_left(pair: Site) -> None:
    process = subprocess.Popen(
        [VDL, "configure", "--tags", "base,payload", "-o", "json"],
        cwd=pair.folder, env=pair.env(), stdin=subprocess.DEVNULL, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    while "Say hello" not in (line := process.stderr.readline()):
        assert line, "it ended before it began"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    done = Done(process.returncode, out, err)
    assert done.code == 130, err
    assert done.json["interrupted"] is True
    assert not any(finished for finished, _, _ in outcomes(done).values())
    assert "stopping: ending Ansible" in err
    assert "interrupted: 2 of 2 machines could not be configured" in err
    assert "Traceback" not in err
    rest = pair.vdl("configure", "--failed", "--tags", "base,payload", "-o", "json").good()
    assert list(outcomes(rest)) == [ONE, TWO]


def test_a_deadline_ends_the_run_and_fails_what_is_left(pair: Site) -> None:
    done = pair.vdl("configure", "--deadline", "0.01", "--tags", "base", "-o", "json")
    assert done.code == 1
    assert done.json["timed_out"] is True
    assert "the deadline has passed: 2 of 2 machines" in done.err


def test_a_terminal_shows_machines_and_their_tasks(pair: Site) -> None:
    ours, theirs = pty.openpty()
    words = [VDL, "configure", "--limit", "cpu", "--tags", "base,payload"]
    process = subprocess.Popen(
        words, cwd=pair.folder, env={**pair.env(), "TERM": "xterm", "COLUMNS": "120"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, encoding="utf-8",
    )  # fmt: skip
    os.close(theirs)
    shown = ""
    while data := read(ours):
        shown += data
    out, _ = process.communicate(timeout=30)
    os.close(ours)
    assert process.returncode == 0, shown
    assert f"{TWO}  base: " in shown
    assert f"{TWO}  payload: " in shown
    rows = [line.split()[:3] for line in out.splitlines()[1:]]
    assert rows == [[ONE, "done", "0"], [TWO, "done", "0"]]


def read(terminal: int) -> str:
    try:
        return os.read(terminal, 4096).decode(errors="replace")
    except OSError:  # Linux: the other side has hung up
        return ""


def test_the_inventory_is_a_script_for_ansible_and_a_file(pair: Site) -> None:
    script = pair.folder / "lab.sh"
    script.write_text(f'#!/bin/sh\nexec {VDL} inventory {pair.folder}/lab.yaml "$@"\n')
    script.chmod(0o700)
    words = [VDL.with_name("ansible-inventory"), "-i", script, "--list"]
    listed = subprocess.run(
        words, cwd=pair.folder, env=pair.env(), capture_output=True, text=True, check=True
    )
    seen = json.loads(listed.stdout, object_hook=lambda o: o.get("__ansible_unsafe", o))
    one = pair.vdl("inventory", "--host", ONE).good().json
    assert seen["_meta"]["hostvars"][ONE] == one
    assert "known_hosts" in one["ansible_ssh_common_args"]
    assert (one["vdl_group"], one["vdl_gpu_mode"]) == ("cpu", "none")
    static = yaml.safe_load(pair.vdl("inventory", "-o", "yaml").good().out)["all"]
    assert list(static["hosts"]) == [ONE, TWO]
    assert list(static["children"]["group_cpu"]["hosts"]) == [ONE, TWO]
    pair.vdl("inventory", "--host", "pair-cpu-9").refused(2, "no such machine: 'pair-cpu-9'", ONE)
