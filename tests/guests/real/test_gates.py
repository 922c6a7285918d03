"""Faults 35 and 36 in guests that boot: the gate as the lab's own user, who is not root."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provision.guests.configure import configure, reach_guests
from provision.guests.events import HostResult
from provision.plan.snapshot import GpuDevice
from tests.gate.states import load
from tests.guests.booted import A100, A100_10C, BootedGuest, BootedLab, booted_lab
from tests.guests.fakepayload import make_payload
from tests.roles.debs import smi_files, write

pytestmark = pytest.mark.nspawn

SHARED, DIRECT, PLAIN = "lab-shared-1", "lab-direct-1", "lab-plain-1"
GPUS = {
    SHARED: (GpuDevice(11, "vgpu", "grid_a100d-10c"),),
    DIRECT: (GpuDevice(11, "passthrough", "0000:3b:00.0"),),
    PLAIN: (),
}
XID = "NVRM: Xid (PCI:0000:03:00): 79, GPU has fallen off the bus."
DMESG = "/usr/local/bin/dmesg"
STATE = "/usr/share/standin/state"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootedLab]:
    """Three machines: a vGPU without a licence, a card with an Xid, and one without a GPU."""
    with booted_lab(tmp_path_factory.mktemp("lab")) as lab:
        shared = lab.add(SHARED, (A100_10C,), boot=False)
        smi_files(shared.disk, load("a100-vgpu-unlicensed"), load("a100-vgpu"))
        direct = lab.add(DIRECT, (A100,), boot=False)
        smi_files(direct.disk, load("a100-passthrough"))
        write(direct.disk / DMESG.strip("/"), f'#!/bin/sh\necho "{XID}"\n', 0o755)
        lab.add(PLAIN, boot=False)
        for guest in lab.guests.values():
            guest.boot()
        for guest in lab.guests.values():
            guest.wait()
        yield lab


def verify(lab: BootedLab, payload: Path) -> dict[str, HostResult]:
    """Look through the gates of all machines, without TensorFlow, which they don't have."""
    vms = [replace(guest.vm, gpus=GPUS[name]) for name, guest in lab.guests.items()]
    variables = {
        "payload_source": str(payload),
        "payload_python": "/usr/bin/python3",
        "verify_framework_python": "",
    }
    settings = lab.settings(tags=("verify",), variables=variables)
    return dict(configure(reach_guests(lab.lab, vms, lab.state), settings).hosts)


def checks(host: HostResult) -> dict[str, dict[str, Any]]:
    return {check["id"]: check for check in host.data["vdl_gate"]["checks"]}


def shell(guest: BootedGuest, script: str) -> None:
    guest.run("sh", "-ec", script)


def test_fault_35_36_gates_fail_for_the_right_reason_and_are_passed_when_it_is_mended(
    lab: BootedLab, tmp_path: Path
) -> None:
    payload = make_payload(tmp_path / "source")
    before = verify(lab, payload)
    assert before[PLAIN].done
    assert "licence: Unlicensed (Restricted)" in (before[SHARED].message or "")
    assert "xid: Xid 79" in (before[DIRECT].message or "")
    assert XID in (before[DIRECT].message or "")
    assert [check for check, its in checks(before[SHARED]).items() if its["state"] == "failed"] == [
        "licence"
    ]

    shell(lab.guests[SHARED], f"echo a100-vgpu >{STATE}")
    shell(lab.guests[DIRECT], f"rm {DMESG}")
    after = verify(lab, payload)
    assert [name for name, host in after.items() if not host.done] == []
    assert checks(after[SHARED])["licence"]["state"] == "passed"
    owner = lab.guests[DIRECT].run(
        "stat", "-c", "%U", "/home/vdl/.local/share/vdl/payload/gate.json"
    )
    assert owner.strip() == "vdl"
    # A container has no kernel log of its own: nobody may read it, and the gate says who refused.
    xid = checks(after[DIRECT])["xid"]
    assert xid["state"] == "unknown"
    assert [str(line).partition(":")[0] for line in xid["evidence"]] == [
        "dmesg", "journalctl", "sudo"
    ]  # fmt: skip
