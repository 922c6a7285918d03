"""What guests that boot need and are told; they themselves are in tests/guests/real."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from provision.simulator.guests.backend import GuestGpu, GuestReport
from provision.simulator.guests.hardware import write_hardware
from provision.simulator.guests.rpc import GuestInfo

# Modules are imported before the rights are dropped: an ordinary user may not read our folders.
TRIAL = """
import os, sys
from pathlib import Path
from provision.errors import UsageError
from provision.simulator.guests.{module} import {kind}
if os.geteuid() == 0:
    os.seteuid({user})
try:
    {kind}(Path("/nowhere"))
except UsageError as error:
    print(error.text())
"""
KINDS = [("nspawn", "NspawnGuests"), ("qemu", "QemuGuests")]
NEED_ROOT = "guests that boot need root\n"


def refusal(module: str, kind: str, user: int) -> str:
    """Return what somebody without any program is told."""
    words = [sys.executable, "-c", TRIAL.format(module=module, kind=kind, user=user)]
    done = subprocess.run(
        words, capture_output=True, text=True, check=True, env={"PATH": "/nowhere"}
    )
    return done.stdout


@pytest.mark.parametrize(("module", "kind"), KINDS)
def test_an_ordinary_user_is_told_to_be_root(module: str, kind: str) -> None:
    said = refusal(module, kind, user=65534)
    assert said.startswith(NEED_ROOT)
    assert "guests: ssh" in said


@pytest.mark.parametrize(("module", "kind"), KINDS)
def test_root_is_told_which_packages_are_missing(module: str, kind: str) -> None:
    said = refusal(module, kind, user=0)
    if os.geteuid() != 0:  # whoever runs the tests can't be root, and hears that first
        assert said.startswith(NEED_ROOT)
        return
    assert "fix: apt install " in said
    assert "mmdebstrap" in said
    assert ("qemu-system-x86" in said) is (module == "qemu")


def ask(path: Path, *words: str) -> list[object]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(json.dumps(words).encode() + b"\n")
        with connection.makefile() as answers:
            return list(json.loads(answers.readline()))


def test_a_guest_reads_and_sets_guestinfo(tmp_path: Path) -> None:
    reports: list[GuestReport] = []
    deep = tmp_path / ("deep" * 30)  # longer than the address of a socket may be
    deep.mkdir()
    info = GuestInfo(deep / "rpc", {"guestinfo.metadata": "e30="}, reports.append)
    (tmp_path / "near").symlink_to(deep)
    tmp_path = tmp_path / "near"
    try:
        assert ask(tmp_path / "rpc", "info-get", "guestinfo.metadata") == [True, "e30="]
        assert ask(tmp_path / "rpc", "info-get", "guestinfo.x") == [False, "No value found"]
        assert ask(tmp_path / "rpc", "info-set", "guestinfo.x", "a b") == [True, ""]
        assert ask(tmp_path / "rpc", "info-get", "guestinfo.x") == [True, "a b"]
        assert reports == []  # until Tools have told who it is
        assert ask(tmp_path / "rpc", "tools.report", "lab-cpu-1", "10.0.0.7 fe80::7")[0]
        assert ask(tmp_path / "rpc", "info-set", "guestinfo.y", "c")[0]
    finally:
        info.close()
    assert reports[0] == GuestReport("lab-cpu-1", ("10.0.0.7", "fe80::7"), {"guestinfo.x": "a b"})
    assert reports[-1].guestinfo == {"guestinfo.x": "a b", "guestinfo.y": "c"}


@pytest.mark.parametrize(
    "line",
    [b"", b"\xff", b"1", b'["info-set", "pciPassthru.use64bitMMIO", "FALSE"]', b'["reboot"]'],
)
def test_a_guest_that_asks_for_anything_else_gets_nothing(tmp_path: Path, line: bytes) -> None:
    reports: list[GuestReport] = []
    info = GuestInfo(tmp_path / "rpc", {}, reports.append)
    try:
        assert info.answer(line) == (False, "Unknown command")
    finally:
        info.close()
    assert reports == []


def test_gpus_look_as_the_kernel_shows_them(tmp_path: Path) -> None:
    vgpu = GuestGpu("NVIDIA A100D-10C", 0x10DE, 0x20B5, 10240, "grid_a100d-10c")
    write_hardware(tmp_path / "shared", (vgpu, vgpu))
    write_hardware(tmp_path / "direct", (GuestGpu("NVIDIA A100 80GB", 0x10DE, 0x20B5, 81920),))
    shared = sorted(path.name for path in (tmp_path / "shared/pci").iterdir())
    assert shared == ["0000:00:0f.0", "0000:02:01.0", "0000:02:02.0"]
    card = tmp_path / "direct/pci/0000:03:00.0"
    read = {path.name: path.read_text().strip() for path in card.iterdir()}
    assert (read["vendor"], read["device"], read["class"]) == ("0x10de", "0x20b5", "0x030200")
