"""What the gate reads besides nvidia-smi, and what it makes of nonsense."""

from __future__ import annotations

import fcntl
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payload.machine import smilog
from tests.gate.packed import FILES, run_gate
from tests.gate.states import DATA, install, load, pci_config

XID = "[  301.220113] NVRM: Xid (PCI:0000:03:00): 79, GPU has fallen off the bus."
DOCUMENTS = sorted((DATA / "smi").glob("*.xml"))


def stub(folder: Path, name: str, script: str) -> None:
    (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin" / name).chmod(0o755)


def checks(folder: Path, case: str, **more: Any) -> dict[str, dict[str, Any]]:
    question = {**load(case).plan, "root": str(folder / "root"), **more}
    path = f"{folder / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"
    verdict = run_gate(question, folder / "gate.json", path)
    return {check["id"]: check for check in verdict["checks"]}


@pytest.mark.parametrize("reader", ["journalctl", "sudo"])
def test_the_log_is_read_with_whatever_may_read_it(tmp_path: Path, reader: str) -> None:
    install(tmp_path, load("a100-log-not-readable"))
    stub(tmp_path, reader, f'echo "{XID}"')
    xid = checks(tmp_path, "a100-log-not-readable")["xid"]
    assert (xid["state"], xid["evidence"]) == ("failed", [XID])


def test_the_hosts_driver_is_asked_through_sudo_where_only_root_may_see_it(tmp_path: Path) -> None:
    install(tmp_path, load("a100-vgpu"))
    (config,) = (tmp_path / "root/sys/bus/pci/devices").glob("*/config")
    (tmp_path / "whole").write_bytes(config.read_bytes())
    config.write_bytes(config.read_bytes()[:64])  # what an ordinary user is shown
    assert checks(tmp_path, "a100-vgpu")["driver-branch"]["state"] == "unknown"
    stub(tmp_path, "sudo", f'[ "$2" = head ] && cat {tmp_path}/whole')
    assert checks(tmp_path, "a100-vgpu")["driver-branch"]["state"] == "passed"


@pytest.mark.parametrize("held", [True, False])
def test_a_run_that_is_about_to_be_ended_is_nobody_else(tmp_path: Path, *, held: bool) -> None:
    install(tmp_path, load("a100-somebody-computes"))
    lock = tmp_path / "measure.lock"
    lock.write_text("4711 4710 ")
    with lock.open() as file:
        if held:
            fcntl.flock(file, fcntl.LOCK_EX)
        found = checks(tmp_path, "a100-somebody-computes", lost_run=str(lock))["processes"]
    assert found["state"] == ("passed" if held else "failed")


@pytest.fixture
def gate_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the gate's modules be imported from where the role keeps them."""
    monkeypatch.syspath_prepend(str(FILES))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "gate"]:
        del sys.modules[name]


@pytest.mark.usefixtures("gate_modules")
def test_no_pci_configuration_is_too_odd(tmp_path: Path) -> None:
    kernel = importlib.import_module("gate.kernel")
    device = tmp_path / "sys/bus/pci/devices/0000:03:00.0"
    device.mkdir(parents=True)

    @settings(max_examples=200, deadline=None)
    @given(st.dictionaries(st.integers(0, 255), st.integers(0, 255)))
    def read(changes: dict[int, int]) -> None:
        space = bytearray(pci_config("550.144.02"))
        for place, value in changes.items():
            space[place] = value
        (device / "config").write_bytes(space)
        host = kernel.host_driver(tmp_path, "0000:03:00.0")
        assert host is None or host.version

    read()


@pytest.mark.usefixtures("gate_modules")
@pytest.mark.parametrize("document", DOCUMENTS, ids=[path.stem for path in DOCUMENTS])
def test_no_value_of_a_card_is_too_odd(document: Path) -> None:
    cards = importlib.import_module("gate.cards")
    words = st.sampled_from(
        ["", "N/A", "[N/A]", "[Unknown Error]", "GPU is lost", "nan W", "inf", "-1", "Yes", "1e999",
         "Requested functionality has been deprecated", "Active", "0x", "\N{SNOWMAN}"]
    )  # fmt: skip
    root = ET.fromstring(document.read_bytes())  # noqa: S314 - our own file
    leaves = [element for element in root.find("gpu") or () if len(element) == 0]
    leaves += [e for block in root.find("gpu") or () for e in block.iter() if len(e) == 0]

    @settings(max_examples=20, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, len(leaves) - 1), words), max_size=40))
    def read(changes: list[tuple[int, str]]) -> None:
        for place, text in changes:
            leaves[place].text = text
        assert len(cards.read_cards(root)) == len(root.findall("gpu"))

    read()


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_are_read_as_a_log_or_break_the_reader(text: bytes) -> None:
    with pytest.raises(smilog.BadLog):
        smilog.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        b"<nvidia_smi_log>" + b"<a>" * 100 + b"</a>" * 100 + b"</nvidia_smi_log>",
        b"<nvidia_smi_log>" + b" " * (smilog.LONGEST + 1) + b"</nvidia_smi_log>",
    ],
    ids=["too deep", "too large"],
)
def test_a_log_that_is_too_much_is_refused(text: bytes) -> None:
    with pytest.raises(smilog.BadLog):
        smilog.parse(text)
