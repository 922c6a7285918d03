"""Fault 47: stdout closed or full, no terminal, a locale that knows few characters."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.e2e.site import PROFILE, VDL, Done, Site, served
from tests.e2e.vcenter import rename

# Names that a locale of one byte a character can't print, or not all of them.
VM_NAME = "Prüfstand-名"
LOCALES = {
    "C": {"LC_ALL": "C"},
    "C without UTF-8 mode": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ASCII": {"PYTHONIOENCODING": "ascii"},
    "Latin-1": {"PYTHONIOENCODING": "latin-1"},
    "a locale that is not there": {"LC_ALL": "xx_XX.UTF-8"},
}
PRINTERS = [
    ["plan"], ["plan", "-o", "json"], ["gpus"], ["status"], ["inventory"], ["doctor"],
    ["schema"], ["--help"],
]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a site with a provisioned lab whose VM has a name beyond ASCII."""
    with served(tmp_path_factory.mktemp("streams")) as site:
        lab = site.lab("lab", shared={"gpu": {"vgpu": PROFILE}})
        site.vdl("provision", lab, "--yes").good()
        rename(site, "lab-shared-1", VM_NAME)
        yield site


def run(site: Site, *words: str, **streams: Any) -> Done:
    """Run vdl with other streams than pipes."""
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    done = subprocess.run(
        [VDL, *words], cwd=site.folder, env=site.env(), check=False, timeout=60,
        **{**given, **streams},
    )  # fmt: skip
    out, err = (data.decode() if data else "" for data in (done.stdout, done.stderr))
    return Done(done.returncode, out, err)


def hung_up() -> IO[bytes]:
    """Return the end of a pipe whose reader has gone, as `| true` leaves it."""
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "wb")


@pytest.mark.parametrize("words", PRINTERS, ids=" ".join)
def test_fault_47_a_reader_that_hung_up_is_no_error(site: Site, words: list[str]) -> None:
    with hung_up() as pipe:
        done = run(site, *words, stdout=pipe)
    # Click itself ends its help pages with 1 then, as silently.
    assert done.code == (1 if words == ["--help"] else 0)
    assert done.err == "" or words == ["inventory"]
    assert "Traceback" not in done.err


def test_fault_47_head_gets_its_line(site: Site) -> None:
    text = f"set -o pipefail; '{VDL}' plan -o json | head -1"
    done = subprocess.run(
        ["/bin/bash", "-c", text], cwd=site.folder, env=site.env(), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"{\n", b"")


@pytest.mark.parametrize("words", PRINTERS, ids=" ".join)
def test_fault_47_what_cannot_be_written_is_an_error(site: Site, words: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run(site, *words, stdout=full)
    assert done.code == 1
    assert "No space left on device" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("gone", ["hung up", "full"])
def test_fault_47_work_goes_on_though_nobody_listens(site: Site, gone: str) -> None:
    lab = site.lab("deaf", cpu={"count": 2})
    with hung_up() if gone == "hung up" else Path("/dev/full").open("wb") as stream:
        made = run(site, "provision", lab.name, "--yes", stderr=stream)
        refused = run(site, "provision", lab.name, "--plan", "nowhere.json", stderr=stream)
    assert (made.code, refused.code) == (0, 2)
    machines = site.vdl("status", lab, "-o", "json").good().json["machines"]
    assert {machine["state"] for machine in machines} == {"on"}
    with hung_up() as stream:
        assert run(site, "destroy", lab.name, "--yes", stderr=stream, stdout=stream).code == 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_fault_47_closed_streams_are_no_error(site: Site, closed: str) -> None:
    for words, code in (("plan", 0), ("provision --plan nowhere.json", 2), ("destroy", 2)):
        done = subprocess.run(
            ["/bin/bash", "-c", f"'{VDL}' {words} {closed}"], cwd=site.folder, env=site.env(),
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == code
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("locale", LOCALES)
def test_fault_47_every_locale_shows_every_name(site: Site, locale: str) -> None:
    for command in (["status"], ["destroy"]):
        done = subprocess.run(
            [VDL, *command], cwd=site.folder, env=site.env(LOCALES[locale]),
            stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == (2 if command == ["destroy"] else 0)
        assert b"Traceback" not in done.stderr
        assert b"fstand-" in done.stdout + done.stderr


@pytest.mark.parametrize("locale", LOCALES)
def test_fault_47_json_is_the_same_in_every_locale(site: Site, locale: str) -> None:
    usual = site.vdl("status", "-o", "json").good()
    assert usual.json["machines"][0]["path"] == f"/DC0/vm/vdl/{VM_NAME}"
    assert site.vdl("status", "-o", "json", env=LOCALES[locale]).good().out == usual.out


@pytest.mark.parametrize("locale", LOCALES)
def test_fault_47_a_file_is_utf_8_in_every_locale(tmp_path: Path, locale: str) -> None:
    alone = Site(tmp_path)
    alone.vdl("init", env=LOCALES[locale]).good()
    alone.vdl("init", "usual.yaml").good()
    assert (tmp_path / "lab.yaml").read_bytes() == (tmp_path / "usual.yaml").read_bytes()


def test_fault_47_colours_are_for_terminals(site: Site) -> None:
    for words in (["plan"], ["gpus"], ["status"], ["provision", "--plan", "nowhere.json"]):
        done = site.vdl(*words, env={"TERM": "xterm-256color"})
        assert "\x1b" not in done.out + done.err
