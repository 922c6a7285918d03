"""States of played GPUs: what nvidia-smi, the kernel and its log say, from tests/data/gate.

`python -m tests.gate.states FOLDER CASE...` writes the states of cases into a folder, and the
programs that play them into FOLDER/bin; the first case is the present state.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import yaml

DATA = Path(__file__).parents[1] / "data" / "gate"
CASES = sorted(path.stem for path in (DATA / "cases").glob("*.yaml"))
STUBS = Path(__file__).with_name("stubs")
PROGRAMS = {
    "nvidia-smi": "nvidia-smi",
    "dmesg": "dmesg",
    "sudo": "refused",
    "journalctl": "refused",
}

MODULES = {
    "open": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build\n",
    "proprietary": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Mon Jan  1 2024\n",
}


@dataclass(frozen=True)
class Case:
    """One file of tests/data/gate/cases.

    Attributes:
        smi: The document of tests/data/gate/smi that nvidia-smi answers with; None for none.
        change: Other texts in it, by path. `gpu[2]/...` is the second GPU; None removes it.
        text: What nvidia-smi prints instead of a document.
        cut: After how many characters the document breaks off.
        after: What is printed after the document.
        files: Empty files that the machine has.
        installed: Whether there is an nvidia-smi.
        exit, err, sleep: The code it ends with, what it says on stderr, seconds until it answers.
        module: `open` or `proprietary` kernel module; its `version` where it is another one.
        log: Lines of the kernel's log; None where it may not be read.
        host_driver: What the hypervisor tells a vGPU in its PCI configuration; None for nothing.
        numa: The NUMA node of each card.
        plan: What the machine should be, as the role `verify` asks.
        framework: PCI addresses of the GPUs that TensorFlow sees; None for all of nvidia-smi's.
        expect: What the gate must say.
    """

    name: str
    smi: str | None
    expect: Mapping[str, Any]
    plan: Mapping[str, Any] = field(default_factory=dict)
    change: Mapping[str, str | None] = field(default_factory=dict)
    text: str | None = None
    cut: int | None = None
    after: str = ""
    files: tuple[str, ...] = ()
    installed: bool = True
    exit: int = 0
    err: str = ""
    sleep: int = 0
    module: str | None = "open"
    version: str | None = None
    log: list[str] | None = field(default_factory=list)
    host_driver: str | None = None
    numa: int = 0
    framework: Any = None

    @property
    def document(self) -> ET.Element | None:
        """The document with its changes."""
        if self.smi is None:
            return None
        path = DATA / "smi" / f"{self.smi}.xml"
        root = ET.parse(path).getroot()  # noqa: S314 - our own file
        for place, text in self.change.items():
            _change(root, place, text)
        return root

    @property
    def out(self) -> str:
        """What nvidia-smi prints."""
        if self.text is not None or self.smi is None:
            return self.text or ""
        text = (DATA / "smi" / f"{self.smi}.xml").read_text(encoding="utf-8")
        root = self.document
        if self.change and root is not None:
            head = "".join(text.splitlines(keepends=True)[:2])
            text = head + ET.tostring(root, encoding="unicode") + "\n"
        return text[: self.cut] + self.after

    @property
    def addresses(self) -> list[str]:
        """PCI addresses of the GPUs as sysfs writes them."""
        root = self.document
        found = [] if root is None else [gpu.get("id", "") for gpu in root.findall("gpu")]
        return [address.lower()[-12:] for address in found]


def _change(root: ET.Element, path: str, text: str | None) -> None:
    parents = {child: parent for parent in root.iter() for child in parent}
    found = root.findall(path)
    assert found, f"no {path}"
    for element in found:
        if text is None:
            parents[element].remove(element)
            continue
        for child in list(element):
            element.remove(child)
        element.text = text
        if text.startswith("<"):
            element.text = None
            element.extend(ET.fromstring(f"<x>{text}</x>"))  # noqa: S314 - our own file


def load(name: str) -> Case:
    """Read a case."""
    text = (DATA / "cases" / f"{name}.yaml").read_text(encoding="utf-8")
    return Case(name=name, **yaml.safe_load(text))


def write_state(folder: Path, case: Case) -> None:
    """Write what the stubs say in this state."""
    state = folder / case.name
    state.mkdir(parents=True, exist_ok=True)
    (state / "out").write_text(case.out, encoding="utf-8")
    for name, value in (("exit", case.exit), ("err", case.err), ("sleep", case.sleep)):
        if value:
            (state / name).write_text(f"{value}\n", encoding="utf-8")
    if case.log is not None:
        lines = ["[    0.000000] Linux version 6.8.0-88-generic", *case.log]
        (state / "log").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_kernel(root: Path, case: Case) -> None:
    """Write the files of the kernel, which don't change with the state, below `root`."""
    document = case.document
    if document is not None and case.module:
        version = case.version or document.findtext("driver_version") or ""
        proc = root / "proc/driver/nvidia"
        proc.mkdir(parents=True, exist_ok=True)
        (proc / "version").write_text(MODULES[case.module].format(version), encoding="utf-8")
    for place in case.files:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).touch()
    for address in case.addresses:
        device = root / "sys/bus/pci/devices" / address
        device.mkdir(parents=True, exist_ok=True)
        (device / "numa_node").write_text(f"{case.numa}\n", encoding="utf-8")
        (device / "vendor").write_text("0x10de\n", encoding="utf-8")
        (device / "config").write_bytes(pci_config(case.host_driver))


def pci_config(host_driver: str | None) -> bytes:
    """Return 256 bytes of PCI configuration space of a GPU.

    A vGPU has a vendor-specific capability with the version and the branch of the host's
    driver, ten bytes each, as NVIDIA's own device plugin for Kubernetes reads them.
    """
    config = bytearray(256)
    config[0:2] = (0x10DE).to_bytes(2, "little")
    if host_driver is not None:
        config[0x06] = 0x10  # there is a list of capabilities
        config[0x34] = 0x68  # which begins here
        config[0x68:0x6B] = bytes((0x05, 0xD0, 0x00))  # message-signalled interrupts
        branch = f"r{host_driver.partition('.')[0]}_00"
        record = bytes((0, 22)) + _ten(host_driver) + _ten(branch)
        capability = bytes((0x09, 0x00, 5 + len(record), ord("V"), ord("F"))) + record
        config[0xD0 : 0xD0 + len(capability)] = capability
    return bytes(config)


def _ten(text: str) -> bytes:
    return text.encode()[:10].ljust(10, b"\0")


def install(folder: Path, *cases: Case, programs: Path | None = None) -> None:
    """Write states into a folder and the programs that play them into `programs`.

    `folder/state` names the present one, the first; `folder/root` has the kernel's files.
    """
    for case in cases:
        write_state(folder, case)
    write_kernel(folder / "root", cases[0])
    turn(folder, cases[0])
    where = programs or folder / "bin"
    where.mkdir(parents=True, exist_ok=True)
    for name, stub in PROGRAMS.items():
        if name == "nvidia-smi" and not cases[0].installed:
            continue
        text = (STUBS / stub).read_text(encoding="utf-8").replace("@FOLDER@", str(folder))
        (where / name).write_text(text, encoding="utf-8")
        (where / name).chmod(0o755)


def turn(folder: Path, case: Case) -> None:
    """Make a state the present one."""
    (folder / "state").write_text(f"{case.name}\n", encoding="utf-8")


if __name__ == "__main__":
    install(Path(sys.argv[1]).absolute(), *(load(name) for name in sys.argv[2:]))
