"""site.yml, really run against SSH servers on this machine."""

import hashlib
import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from provision.guests.configure import configure
from provision.guests.events import Event, EventKind
from tests.guests.fakepayload import make_payload
from tests.guests.sshd import ssh_lab


@pytest.mark.slow
def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    events: list[Event] = []
    with ssh_lab(tmp_path, "lab-cpu-1", "lab-cpu-2") as lab:
        settings = lab.settings()
        first = configure(lab.reach(), settings, on_event=events.append)
        second = configure(lab.reach(), settings)

    assert first.failed == ()
    assert first.changed == 2
    assert second.failed == ()
    assert second.changed == 0
    assert {e.host for e in events if e.kind is EventKind.CHANGED} == {"lab-cpu-1", "lab-cpu-2"}
    gate = first.hosts["lab-cpu-1"].data["vdl_gate"]
    assert gate["passed"] is True
    assert gate["simulated"] is True
    assert gate["packages"]["keras"]
    written = lab.guests["lab-cpu-1"].payload_dir / "gate.json"
    assert json.loads(written.read_text()) == second.hosts["lab-cpu-1"].data["vdl_gate"]


def test_a_python_without_the_framework_closes_the_gate(tmp_path: Path) -> None:
    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        # Without site-packages, every Python is one without TensorFlow.
        bare = lab.guests["lab-cpu-1"].folder / "bin" / "bare-python"
        lab.guests["lab-cpu-1"].install(
            "bare-python", f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n'
        )
        result = configure(lab.reach(), lab.settings(payload_python=str(bare)))
    assert "has no tensorflow" in (result.hosts["lab-cpu-1"].message or "")


def test_a_check_tells_what_would_change_and_changes_nothing(tmp_path: Path) -> None:
    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        result = configure(lab.reach(), lab.settings(check=True))
        assert result.failed == ()
        assert result.changed == 1
        assert not lab.guests["lab-cpu-1"].payload_dir.exists()


def test_a_new_release_of_the_payload_replaces_the_old_one(tmp_path: Path) -> None:
    package = make_payload(tmp_path / "source")
    variables = {"payload_source": str(package)}
    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        settings = lab.settings(tags=("payload",), variables=variables)
        assert configure(lab.reach(), settings).changed == 1
        (package / "extra.py").write_text("NUMBER = 1\n")
        assert configure(lab.reach(), settings).changed == 1
        releases = list((lab.guests["lab-cpu-1"].payload_dir / "releases").iterdir())
    assert len(releases) == 1
    assert (releases[0] / "payload" / "extra.py").read_text() == "NUMBER = 1\n"


def make_wheel(folder: Path) -> str:
    """Write the smallest wheel that pip takes, and return the line that asks for it."""
    folder.mkdir()
    wheel = folder / "tiny-1.0-py3-none-any.whl"
    info = "tiny-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny.py", "NUMBER = 1\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"tiny==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["missing", "loaded"])
def test_the_driver_decides_what_the_virtual_environment_holds(tmp_path: Path, driver: str) -> None:
    chosen = tmp_path / "chosen.txt"
    chosen.write_text(make_wheel(tmp_path / "wheels"))
    other = tmp_path / "other.txt"
    other.write_text("this-must-not-be-installed\n")
    version_file = tmp_path / "version"
    if driver == "loaded":
        version_file.touch()
    variables = {
        "payload_requirements_cpu": str(chosen if driver == "missing" else other),
        "payload_requirements_gpu": str(chosen if driver == "loaded" else other),
        "payload_driver_version_file": str(version_file),
        "payload_wheels": str(tmp_path / "wheels"),
    }
    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        settings = lab.settings(payload_python="", tags=("payload",), variables=variables)
        checked = configure(lab.reach(), replace(settings, check=True))
        first = configure(lab.reach(), settings)
        second = configure(lab.reach(), settings)
        home = lab.guests["lab-cpu-1"].payload_dir

    assert (checked.failed, first.failed, second.failed) == ((), (), ())
    assert (first.changed, second.changed) == (3, 0)
    assert list(home.glob("venv/lib/python3*/site-packages/tiny.py"))


def test_what_has_another_hash_than_the_list_says_is_not_installed(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels")
    wanted = tmp_path / "wanted.txt"
    wanted.write_text(f"tiny==1.0 --hash=sha256:{'0' * 64}\n")
    variables = {
        "payload_requirements_cpu": str(wanted),
        "payload_wheels": str(tmp_path / "wheels"),
        "payload_base_python": "",  # so the role looks for one
    }
    with ssh_lab(tmp_path, "lab-cpu-1") as lab:
        settings = lab.settings(payload_python="", tags=("payload",), variables=variables)
        result = configure(lab.reach(), settings)
    assert "DO NOT MATCH THE HASHES" in (result.hosts["lab-cpu-1"].message or "")
