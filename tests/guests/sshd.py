"""Guests for tests: a real sshd each, unprivileged, on a free port, with its own host key."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provision.guests.configure import Guests, Settings, reach_guests
from provision.guests.firstuse import FirstUse
from provision.plan.snapshot import GpuDevice, Power, Vm
from provision.spec.model import Lab

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin") or "sshd"

CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
MaxSessions 64
SetEnv HOME={folder}/home PATH={folder}/bin:/usr/local/bin:/usr/bin:/bin
Subsystem sftp internal-sftp
"""


@dataclass
class SshGuest:
    """One guest; `published` is the host key that vCenter would tell, `powered` whether it is on.

    `incarnation` counts how often its VM was made anew.
    """

    name: str
    folder: Path
    port: int
    published: str
    powered: bool = True
    incarnation: int = 1
    gpus: tuple[GpuDevice, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def payload_dir(self) -> Path:
        return self.home / ".local/share/vdl/payload"

    def install(self, command: str, script: str) -> None:
        """Put a command in front of the guest's PATH."""
        path = self.folder / "bin" / command
        path.write_text(script)
        path.chmod(0o755)

    def boot(self) -> None:
        if os.geteuid() == 0:
            # Packages make it when the service starts; where there is none, sshd refuses to.
            Path("/run/sshd").mkdir(exist_ok=True)
        with (self.folder / "sshd.log").open("wb") as log:
            self.process = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + 10
        while time.monotonic() < end and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise OSError((self.folder / "sshd.log").read_text())

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    @property
    def vm(self) -> Vm:
        return Vm(
            id=f"vm-{self.name}-{self.incarnation}",
            name=self.name,
            path=f"/DC0/vm/vdl/{self.name}",
            instance_uuid=f"uuid-{self.name}",
            power=Power.ON,
            host_id=None,
            cpus=2,
            memory=2**32,
            memory_reserved=0,
            stamps={"vdl.lab": "lab", "vdl.machine": self.name},
            addresses=("127.0.0.1",),
            gpus=self.gpus,
            guestinfo={
                "guestinfo.vdl.ssh_port": str(self.port),
                "guestinfo.vdl.hostkeys": self.published,
            },
        )


def cpu_lab(folder: Path, template: str, *, count: int) -> Lab:
    """A lab of machines without a GPU, whose users log in with `user_key` of the folder."""
    return Lab.model_validate(
        {
            "lab": "lab",
            "vcenter": {"datacenter": "DC0", "cluster": "gpu", "datastore": "vsan"},
            "template": template,
            "guest": {"ssh_key": "user_key.pub"},
            "machines": {"cpu": {"count": count}},
        },
        context={"base": folder},
    )


@dataclass
class SshLab:
    """The guests of one test; all share a user key."""

    folder: Path
    guests: dict[str, SshGuest] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def lab(self) -> Lab:
        return cpu_lab(self.folder, "ubuntu-24.04", count=2)

    def add(self, name: str, *, boot: bool = True) -> SshGuest:
        folder = self.folder / name
        (folder / "home").mkdir(parents=True)
        (folder / "bin").mkdir()
        shutil.copy(self.folder / "user_key.pub", folder / "user_key.pub")
        guest = SshGuest(name, folder, free_port(), make_key(folder / "host_key"))
        (folder / "sshd_config").write_text(CONFIG.format(port=guest.port, folder=folder))
        self.guests[name] = guest
        if boot:
            guest.boot()
        return guest

    def settings(self, *, variables: Mapping[str, Any] | None = None, **more: Any) -> Settings:
        """Settings for guests whose only user is the one who runs the tests."""
        login = {"ansible_user": getpass.getuser()}
        return Settings(self.state, variables={**login, **(variables or {})}, **more)

    def reach(self, first_use: FirstUse | None = None) -> Guests:
        """Learn the published keys and make the inventory, as vdl does."""
        vms = [guest.vm for guest in self.guests.values() if guest.powered]
        return reach_guests(self.lab, vms, self.state, simulated=True, first_use=first_use)


@contextmanager
def ssh_lab(folder: Path, *names: str) -> Iterator[SshLab]:
    """Run guests of these names for as long as the block runs."""
    make_key(folder / "user_key")
    lab = SshLab(folder)
    try:
        for name in names:
            lab.add(name)
        yield lab
    finally:
        for guest in lab.guests.values():
            guest.stop()


def make_key(path: Path) -> str:
    """Make a key pair and return its public half."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path.with_name(f"{path.name}.pub").read_text().strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
