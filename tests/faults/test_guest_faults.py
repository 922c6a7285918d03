"""Faults of guests, provoked in real SSH servers on this machine."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from provision.guests.configure import configure, measure
from provision.guests.hostkeys import HostKeyChanged
from tests.guests.fakepayload import make_payload
from tests.guests.sshd import make_key, ssh_lab


def test_fault_30_another_host_key_than_the_published_one_is_refused(tmp_path: Path) -> None:
    with ssh_lab(tmp_path, "lab-cpu-1", "lab-cpu-2") as lab:
        lab.guests["lab-cpu-1"].published = make_key(tmp_path / "imposter")
        result = configure(lab.reach(), lab.settings(tags=("base",)))
    refused = result.hosts["lab-cpu-1"]
    assert not refused.done
    assert "host key" in (refused.message or "").lower()
    assert result.hosts["lab-cpu-2"].done


def test_fault_30_a_changed_key_stops_everything_before_the_first_contact(tmp_path: Path) -> None:
    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        lab.reach()
        lab.guests["lab-cpu-1"].published = make_key(tmp_path / "imposter")
        with pytest.raises(HostKeyChanged, match="uuid-lab-cpu-1"):
            lab.reach()


def test_a_guest_without_a_published_key_is_not_contacted(tmp_path: Path) -> None:
    with ssh_lab(tmp_path, "lab-cpu-1", "lab-cpu-2") as lab:
        lab.guests["lab-cpu-1"].published = ""
        result = configure(lab.reach(), lab.settings(tags=("base",)))
    assert "publishes no SSH host key" in (result.hosts["lab-cpu-1"].message or "")
    assert [host.name for host in result.failed] == ["lab-cpu-1"]


def test_fault_31_ssh_comes_up_late(tmp_path: Path) -> None:
    with ssh_lab(tmp_path) as lab:
        late = lab.add("lab-cpu-1", boot=False)
        timer = threading.Timer(3, late.boot)
        timer.start()
        result = configure(lab.reach(), lab.settings(tags=("base",)))
        timer.join()
    assert result.failed == ()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("#!/bin/sh\nsleep 1; echo 'status: done'\n", None),
        ("#!/bin/sh\necho 'status: degraded'; exit 2\n", None),
        ("#!/bin/sh\necho 'errors: user vdl was not made'; exit 1\n", "user vdl was not made"),
    ],
    ids=["running", "warnings", "failed"],
)
def test_fault_31_cloud_init(tmp_path: Path, script: str, message: str | None) -> None:
    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        lab.guests["lab-cpu-1"].install("cloud-init", script)
        result = configure(lab.reach(), lab.settings(tags=("base",)))
    host = result.hosts["lab-cpu-1"]
    assert host.done is (message is None)
    assert (message or "") in (host.message or "")


def test_fault_31_cloud_init_that_never_ends_is_waited_for_until_a_deadline(tmp_path: Path) -> None:
    with ssh_lab(tmp_path, "lab-cpu-1", "lab-cpu-2") as lab:
        lab.guests["lab-cpu-1"].install("cloud-init", "#!/bin/sh\nexec sleep 60\n")
        settings = lab.settings(tags=("base",), variables={"base_cloud_init_timeout": 2})
        result = configure(lab.reach(), settings)
    host = result.hosts["lab-cpu-1"]
    assert (host.done, "cloud-init" in (host.failed_task or "")) == (False, True)
    assert "2 s" in (host.message or "")
    assert result.hosts["lab-cpu-2"].done


def test_fault_32_a_guest_that_reboots_is_waited_for(tmp_path: Path) -> None:
    variables = {"payload_source": str(make_payload(tmp_path / "source"))}
    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        guest = lab.guests["lab-cpu-1"]
        settings = lab.settings(tags=("base", "payload"), variables=variables)

        def reboot(event: Any) -> None:
            if event.task == "Install the payload" and event.kind == "task":
                guest.stop()
                threading.Timer(2, guest.boot).start()

        interrupted = configure(lab.reach(), settings, on_event=reboot)
        again = configure(lab.reach(), settings)
        releases = list((guest.payload_dir / "releases").iterdir())

    # Whether the first run got through depends on where the reboot hit it; the outcome does not.
    assert interrupted.hosts["lab-cpu-1"].done or interrupted.hosts["lab-cpu-1"].unreachable
    assert again.failed == ()
    assert len(releases) == 1


@pytest.mark.slow
def test_fault_33_sudo_refused_fails_one_machine_only(tmp_path: Path) -> None:
    nothing = tmp_path / "requirements.txt"
    nothing.touch()
    variables = {
        "payload_source": str(make_payload(tmp_path / "source")),
        "payload_base_python": "",
        "payload_managed": True,
        "payload_requirements_cpu": str(nothing),
        # Where root runs the tests, becoming root would need no sudo, and apt would really run.
        "ansible_become_user": "nobody",
    }
    with ssh_lab(tmp_path, "lab-cpu-1", "lab-cpu-2") as lab:
        bare = lab.guests["lab-cpu-1"]
        # It finds no Python for the payload, and is one for everything else.
        bare.install(
            "python3",
            "#!/bin/sh\n"
            '[ "$3" = 3.10 ] || PATH=/usr/local/bin:/usr/bin exec python3 "$@"\n'
            'echo \'{"python": null, "found": []}\'\n',
        )
        bare.install("sudo", "#!/bin/sh\necho 'sudo: a password is required' >&2; exit 1\n")
        settings = lab.settings(payload_python="", tags=("payload",), variables=variables)
        result = configure(lab.reach(), settings)
    failed = result.hosts["lab-cpu-1"]
    assert failed.failed_task == "Learn what runs here"
    assert "sudo password" in (failed.message or "")
    assert result.hosts["lab-cpu-2"].done


def test_fault_34_one_machine_fails_and_the_rerun_repairs_only_that(tmp_path: Path) -> None:
    variables = {"payload_source": str(make_payload(tmp_path / "source"))}
    with ssh_lab(tmp_path, "lab-cpu-1", "lab-cpu-2") as lab:
        obstacle = lab.guests["lab-cpu-2"].home / ".local"
        obstacle.touch()
        settings = lab.settings(tags=("payload",), variables=variables)
        first = configure(lab.reach(), settings)
        obstacle.unlink()
        second = configure(lab.reach(), settings)
        third = configure(lab.reach(), settings)

    assert first.hosts["lab-cpu-1"].done
    assert first.hosts["lab-cpu-2"].failed_task == "Install the payload"
    assert "Not a directory" in (first.hosts["lab-cpu-2"].message or "")
    assert {name: host.changed for name, host in second.hosts.items()} == {
        "lab-cpu-1": 0,
        "lab-cpu-2": 1,
    }
    assert (second.failed, third.failed, third.changed) == ((), (), 0)


@pytest.mark.slow
def test_fault_36_a_missing_gpu_closes_the_gate(tmp_path: Path) -> None:
    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        variables = {"verify_simulated": False, "verify_gpu_count": 0, "verify_gpu_mode": "none"}
        passed = configure(lab.reach(), lab.settings(variables=variables))
        variables |= {"verify_gpu_count": 9, "verify_gpu_mode": "passthrough"}
        failed = configure(lab.reach(), lab.settings(variables=variables))

    gate = passed.hosts["lab-cpu-1"].data["vdl_gate"]
    assert (gate["passed"], gate["gpus"], gate["simulated"]) == (True, [], False)
    host = failed.hosts["lab-cpu-1"]
    assert "framework: 0 GPUs (expected: 9 GPUs)" in (host.message or "")
    assert "nvidia-smi: there is no nvidia-smi in PATH" in (host.message or "")
    assert host.data["vdl_gate"]["passed"] is False


HOSTILE = [
    "$(touch {marker})",
    "`touch {marker}`",
    "; touch {marker} #",
    "{{{{ lookup('ansible.builtin.pipe', 'touch {marker}') }}}}",
    "$HOME",
    "--output=/etc/passwd",
    "two\nlines",
]


def test_fault_45_hostile_words_arrive_as_they_are(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    words = [word.format(marker=marker) for word in HOSTILE]
    runs = [
        {"name": f"run-{n}", "model": "mnist", "batch_size": 4, "data": word}
        for n, word in enumerate(words)
    ]
    variables = {"payload_source": str(make_payload(tmp_path / "source"))}
    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        settings = lab.settings(tags=("benchmark",), variables=variables)
        result = measure(lab.reach(), settings, runs, tmp_path / "results")
    assert result.failed == ()
    assert not marker.exists()
    for n, word in enumerate(words):
        document = (tmp_path / "results" / "lab-cpu-1" / f"run-{n}.json").read_text()
        assert f"--data={word}" in json.loads(document)["arguments"]


@pytest.mark.parametrize("name", ["../../x", "a/b", "-rf", "", "a b", "{{ x }}", "x\n"])
def test_fault_45_a_hostile_name_of_a_run_is_refused(tmp_path: Path, name: str) -> None:
    variables = {"payload_source": str(make_payload(tmp_path / "source"))}
    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        settings = lab.settings(tags=("benchmark",), variables=variables)
        runs = [{"name": name, "model": "mnist", "batch_size": 4}]
        result = measure(lab.reach(), settings, runs, tmp_path / "results")
    assert result.hosts["lab-cpu-1"].failed_task == "Check the names of the runs"
    assert not (tmp_path / "results").exists()
