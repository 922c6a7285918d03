"""Fault 46: a marked secret goes in by every way there is, and is found nowhere else."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.site import PROFILE, VDL, WORLD, Site, served, simulator_process, write_key

MARKER = "MARK3R-of-a-secret"
MARKED_WORLD = WORLD.replace(
    "guests: none",
    f"guests: ssh\nvcenter: {{users: {{administrator@vsphere.local: {MARKER}-password}}}}",
)
COMMANDS = [
    ["doctor"], ["gpus"], ["plan", "-o", "json"], ["provision", "--yes", "-o", "json"],
    ["status"], ["inventory", "-o", "json"], ["configure"], ["destroy", "--yes"],
]  # fmt: skip
# What provokes errors: the wrong password, the wrong certificate, nothing listening, no profile.
PROVOCATIONS: list[tuple[list[str], dict[str, str | None]]] = [
    (["plan"], {"VDL_PASSWORD_FILE": None, "VDL_PASSWORD": f"{MARKER}-wrong"}),
    (["plan"], {"VDL_CA_FILE": None}),
    (["plan", "--server", "127.0.0.1:1"], {}),
    (["plan", "--thumbprint", "00" * 32], {}),
    (["gpus", "--fits", "nothing"], {}),
    (["provision", "--yes", "--plan", "secret.pw"], {}),
]


@contextmanager
def watching() -> Iterator[list[str]]:
    """Collect the command line of every process of this machine that shows the marker."""
    seen: list[str] = []
    end = threading.Event()

    def look() -> None:
        while not end.wait(0.01):
            seen.extend(line for line in command_lines() if MARKER in line)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        end.set()
        thread.join()


def command_lines() -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield (entry / "cmdline").read_bytes().decode("utf-8", "replace")
            except OSError:  # it ended while we looked
                continue


def leaks(folder: Path, *known: Path) -> list[Path]:
    """Return the files below a folder that hold the marker, the known ones left out."""
    files = [path for path in folder.rglob("*") if path.is_file() and path not in known]
    return [path for path in files if MARKER.encode() in path.read_bytes()]


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a vCenter whose password is the marked secret."""
    with served(tmp_path_factory.mktemp("marked"), MARKED_WORLD) as site:
        site.lab("lab", shared={"gpu": {"vgpu": PROFILE}})
        (site.folder / "secret.pw").write_text(f"{MARKER}-password\n", encoding="utf-8")
        yield site


def expected(site: Site) -> list[Path]:
    """Return the files that hold the secret because somebody put it there."""
    names = ["secret.pw", "test.world.yaml"]
    return [*(site.folder / name for name in names), Path(site.door["password_file"])]


@pytest.mark.parametrize("way", ["file", "environment"])
def test_fault_46_no_command_shows_the_password(marked: Site, way: str) -> None:
    change: dict[str, str | None] = {"VDL_PASSWORD_FILE": "secret.pw"}
    if way == "environment":
        change = {"VDL_PASSWORD_FILE": None, "VDL_PASSWORD": f"{MARKER}-password"}
    with watching() as seen:
        for command in COMMANDS:
            done = marked.vdl("--debug", command[0], "lab.yaml", *command[1:], env=change).good()
            assert MARKER not in done.out + done.err
    assert seen == []
    assert leaks(marked.folder, *expected(marked)) == []


@pytest.mark.parametrize("case", range(len(PROVOCATIONS)))
def test_fault_46_no_error_and_no_traceback_shows_the_password(marked: Site, case: int) -> None:
    words, change = PROVOCATIONS[case]
    env = {"VDL_PASSWORD_FILE": "secret.pw", **change}
    done = marked.vdl("--debug", words[0], "lab.yaml", *words[1:], env=env)
    assert done.code in {2, 5}
    assert "Traceback" in done.err
    assert MARKER not in done.out + done.err
    assert leaks(marked.folder, *expected(marked)) == []


@pytest.mark.parametrize("typed", ["password", "wrong"])
def test_fault_46_a_typed_password_is_not_echoed(marked: Site, typed: str) -> None:
    ours, theirs = pty.openpty()
    environment = marked.env({"VDL_PASSWORD_FILE": None})
    with watching() as seen:
        process = subprocess.Popen(
            [VDL, "--debug", "status", "lab.yaml"], cwd=marked.folder, env=environment,
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        text = read_until(ours, "Password of ")
        os.write(ours, f"{MARKER}-{typed}\n".encode())
        text += read_until(ours, None)
        code = process.wait(timeout=30)
    os.close(ours)
    assert code == (0 if typed == "password" else 5)
    assert MARKER not in text
    assert seen == []


def read_until(descriptor: int, wanted: str | None) -> str:
    """Read from a terminal until it shows a text; None is the end."""
    text = ""
    while wanted is None or wanted not in text:
        try:
            data = os.read(descriptor, 4096)
        except OSError:  # Linux: the other side has hung up
            break
        if not data:
            break
        text += data.decode()
    return text


def test_fault_46_the_simulator_does_not_show_its_password(tmp_path: Path) -> None:
    with watching() as seen, simulator_process(tmp_path, MARKED_WORLD) as (process, door):
        site = Site(tmp_path, {"VDL_SERVER": door["server"], "VDL_CA_FILE": door["ca_file"]})
        lab = site.lab("lab", cpu={})
        wrong = {"VDL_USERNAME": door["username"], "VDL_PASSWORD": f"{MARKER}-wrong"}
        site.vdl("plan", lab, env=wrong).refused(5)
        process.terminate()
        out, err = process.communicate(timeout=30)
    assert MARKER not in str(door) + out + err
    assert seen == []
    assert leaks(tmp_path, tmp_path / "test.world.yaml") == []


def test_fault_46_a_wrong_world_file_is_refused_without_its_passwords(tmp_path: Path) -> None:
    site = Site(tmp_path)
    for users in (
        f"{{me: [{MARKER}]}}",
        f"{{me: {{password: {MARKER}, pass: {MARKER}}}}}",
        f"{{me: {MARKER}]",
        f"{{me: *{MARKER}}}",
        f'{{me: "{MARKER}\\q"}}',
    ):
        text = f"vcenter: {{users: {users}}}\nDC0: {{}}\n"
        (tmp_path / "wrong.world.yaml").write_text(text, encoding="utf-8")
        done = site.vdl("--debug", "simulator", "wrong.world.yaml")
        assert done.code == 2
        assert MARKER not in done.out + done.err


def test_fault_46_a_wrong_lab_file_is_refused_without_the_keys_it_names(tmp_path: Path) -> None:
    site = Site(tmp_path)
    lab = site.lab("lab", cpu={})
    write_key(tmp_path / "other")
    private = tmp_path / "other"
    secret_line = private.read_text(encoding="ascii").splitlines()[2]
    text = lab.read_text(encoding="utf-8").replace("key.pub", "other")
    lab.write_text(text, encoding="utf-8")
    done = site.vdl("--debug", "plan", lab)
    assert done.code == 2
    assert secret_line not in done.out + done.err


def test_fault_46_a_licence_token_stays_in_its_file(marked: Site) -> None:
    package, token = marked.folder / "grid.deb", marked.folder / "client.tok"
    package.write_bytes(b"!<arch>\n")
    token.write_text(f"{MARKER}-token", encoding="utf-8")
    lab = marked.lab("token", cpu={})
    drivers = "drivers: {vgpu: {package: grid.deb, token: client.tok}}\n"
    lab.write_text(lab.read_text(encoding="utf-8") + drivers, encoding="utf-8")
    with watching() as seen:
        for command in (["plan", "-o", "json"], ["provision", "--yes"], ["configure", "--diff"],
                        ["inventory", "-o", "yaml"]):  # fmt: skip
            done = marked.vdl("--debug", command[0], lab, *command[1:]).good()
            assert MARKER not in done.out + done.err
    marked.vdl("destroy", lab, "--yes").good()
    assert seen == []
    assert leaks(marked.folder, token, *expected(marked)) == []
