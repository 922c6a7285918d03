"""Fault 36: driver branch, Xids and GPU count, on SSH guests that play GPUs."""

from __future__ import annotations

from pathlib import Path

from provision.guests.configure import configure
from provision.plan.snapshot import GpuDevice
from tests.gate.states import install, load
from tests.guests.fakepayload import make_payload
from tests.guests.sshd import ssh_lab

VGPU, CARD = GpuDevice(11, "vgpu", "grid_a100d-10c"), GpuDevice(11, "passthrough", "0000:3b:00.0")
MACHINES = {
    "lab-good-1": ("a100-passthrough", (CARD,)),
    "lab-branch-1": ("a100-vgpu-host-other-branch", (VGPU,)),
    "lab-xid-1": ("a100-xid-of-the-card", (CARD,)),
    "lab-count-1": ("l40s-instead-of-two", (CARD, CARD)),
}
SHOWN = {
    "lab-branch-1": (
        "driver-branch: 550.144.03 under a host with 535.183.04",
        "vGPU manager 535.183.04 (PCI configuration of 0000:02:01.0)",
    ),
    "lab-xid-1": ("xid: Xid 31, 63", "NVRM: Xid (PCI:0000:03:00): 63"),
    "lab-count-1": ("gpu-count: 1 (expected: 2)", "GPU 0 0000:03:00.0: NVIDIA L40S"),
}


def test_fault_36_verification_fails_and_shows_its_evidence(tmp_path: Path) -> None:
    variables = {
        "payload_source": str(make_payload(tmp_path / "source")),
        "verify_played": "~/plays-gpus",
    }
    with ssh_lab(tmp_path, *MACHINES) as lab:
        for name, (case, gpus) in MACHINES.items():
            guest = lab.guests[name]
            guest.gpus = gpus
            install(guest.home / "plays-gpus", load(case), programs=guest.folder / "bin")
        result = configure(lab.reach(), lab.settings(tags=("verify",), variables=variables))

    assert [host.name for host in result.failed] == sorted(SHOWN)
    for name, words in SHOWN.items():
        host = result.hosts[name]
        for text in words:
            assert text in (host.message or "")
        assert host.data["vdl_gate"]["passed"] is False
    assert result.hosts["lab-good-1"].data["vdl_gate"]["passed"] is True
