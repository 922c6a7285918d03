"""Guests for tests that boot: systemd, sshd, cloud-init, apt, sudo; a container each. Needs root.

    with booted_lab(tmp_path, "lab-cpu-1", gpus={"lab-cpu-1": (A100,)}) as lab:
        lab.guests["lab-cpu-1"].run("systemctl", "stop", "ssh")
        result = configure(lab.reach(), lab.settings(tags=("base",)))

The root file system is made once and kept in `$VDL_CACHE` (see provision/simulator/guests).
"""

from __future__ import annotations

import base64
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from provision.guests.configure import Guests, Settings, reach_guests
from provision.plan.snapshot import Power, Vm
from provision.simulator.guests.backend import GuestGpu, GuestReport, Start
from provision.simulator.guests.container import Container
from provision.simulator.guests.nspawn import NspawnGuests
from provision.spec.model import Lab
from provision.vsphere.cloudinit import HOST_KEYS, guestinfo
from tests.guests.sshd import cpu_lab, make_key

UP_SECONDS = 180.0  # ten at a time on a busy machine
A100 = GuestGpu("NVIDIA A100 80GB PCIe", 0x10DE, 0x20B5, 81920)
A100_10C = GuestGpu("NVIDIA A100D-10C", 0x10DE, 0x20B5, 10240, "grid_a100d-10c")


@dataclass
class BootedGuest:
    """One guest; `report` is what its VMware Tools told last, `off` whether it went off itself."""

    name: str
    lab: BootedLab
    gpus: tuple[GuestGpu, ...] = ()
    report: GuestReport | None = None
    off: bool = False
    times: int = 0
    user_data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def machine(self) -> Container:
        return self.lab.backend.machine(self.name)

    @property
    def disk(self) -> Path:
        """The files in which its disk differs from the root; write there before it boots."""
        return self.lab.folder / "guests" / self.name / "disk"

    @property
    def hardware(self) -> Path:
        """What it finds as /sys/bus/pci/devices is `pci` in here; it sees changes at once."""
        return self.lab.backend.hardware(self.name)

    def boot(self) -> None:
        """Switch it on; `wait` for it afterwards."""
        self.off = False
        self.report = None
        self.times += 1
        hear, end = partial(self._hear, self.times), partial(self._end, self.times)
        given = self.lab.guestinfo(self.name, self.user_data)
        self.lab.backend.start(Start(self.name, self.name, given, hear, end, self.gpus))

    def _hear(self, time_: int, report: GuestReport) -> None:
        if time_ == self.times:
            self.report = report

    def _end(self, time_: int) -> None:
        if time_ == self.times:
            self.off = True

    def restart(self) -> None:
        """Let it reboot, and wait for it."""
        boots = self.machine.boots
        assert self.lab.backend.restart(self.name)
        wait_until(lambda: self.machine.boots > boots, f"{self.name} did not restart")
        wait_until(self._settled, f"{self.name} did not come back")

    def _settled(self) -> bool:
        done = self.machine.run(["systemctl", "is-system-running"])
        return done.stdout.strip() in ("running", "degraded")

    def wait(self) -> None:
        """Wait until it has published its host keys."""
        wait_until(lambda: self.report is not None and HOST_KEYS in self.report.guestinfo,
                   f"{self.name} published no host key")  # fmt: skip

    def run(self, *words: str) -> str:
        """Run a command inside as root, past SSH; return its output, insist on its success."""
        done = self.machine.run(words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ssh(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the lab's user, by SSH."""
        words = ["ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        words += ["-o", "LogLevel=ERROR", "-i", str(self.lab.folder / "user_key")]
        words += [f"vdl@{self.machine.address}", command]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    @property
    def vm(self) -> Vm:
        """The VM as vdl would read it from vCenter."""
        assert self.report is not None
        return Vm(
            id=f"vm-{self.name}",
            name=self.name,
            path=f"/DC0/vm/vdl/{self.name}",
            instance_uuid=f"uuid-{self.name}",
            power=Power.ON,
            host_id=None,
            cpus=2,
            memory=2**32,
            memory_reserved=0,
            stamps={"vdl.lab": "lab", "vdl.machine": self.name},
            addresses=self.report.addresses,
            guestinfo=dict(self.report.guestinfo),
        )


@dataclass
class BootedLab:
    """The guests of one test; all share a user key."""

    folder: Path
    backend: NspawnGuests
    guests: dict[str, BootedGuest] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def lab(self) -> Lab:
        return cpu_lab(self.folder, "debian-12", count=1)

    def guestinfo(self, name: str, more: Mapping[str, Any]) -> dict[str, str]:
        """What vdl gives a VM of this name for its cloud-init, and more user data."""
        (like,) = self.lab.resolve()
        _, group, index = name.split("-")
        machine = like.model_copy(update={"group": group, "index": int(index)})
        given = guestinfo(machine, instance_id=f"id-{name}")
        document = yaml.safe_load(base64.b64decode(given["guestinfo.userdata"])) | dict(more)
        text = "#cloud-config\n" + yaml.safe_dump(document)
        return given | {"guestinfo.userdata": base64.b64encode(text.encode()).decode()}

    def add(
        self,
        name: str,
        gpus: tuple[GuestGpu, ...] = (),
        user_data: Mapping[str, Any] | None = None,
        *,
        boot: bool = True,
    ) -> BootedGuest:
        guest = self.guests[name] = BootedGuest(name, self, gpus, user_data=user_data or {})
        if boot:
            guest.boot()
        return guest

    def settings(self, *, variables: Mapping[str, Any] | None = None, **more: Any) -> Settings:
        return Settings(self.state, variables=variables or {}, **more)

    def reach(self, *, simulated: bool = False) -> Guests:
        """Learn the published keys and make the inventory, as vdl does."""
        return reach_guests(
            self.lab, [guest.vm for guest in self.guests.values()], self.state, simulated=simulated
        )


@contextmanager
def booted_lab(
    folder: Path, *names: str, gpus: Mapping[str, tuple[GuestGpu, ...]] | None = None
) -> Iterator[BootedLab]:
    """Boot guests of these names, `lab-GROUP-N`, for as long as the block runs."""
    make_key(folder / "user_key")
    lab = BootedLab(folder, NspawnGuests(folder / "guests"))
    try:
        for name in names:
            lab.add(name, (gpus or {}).get(name, ()))
        for guest in lab.guests.values():
            guest.wait()
        yield lab
    finally:
        lab.backend.close()


def wait_until(done: Callable[[], bool], otherwise: str, seconds: float = UP_SECONDS) -> None:
    """Wait for something; fail with the words `otherwise`."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, otherwise
        time.sleep(0.1)
