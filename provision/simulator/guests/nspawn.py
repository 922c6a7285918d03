"""Simulated VMs that boot: a systemd-nspawn container each, with systemd, sshd and cloud-init."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from provision.simulator.guests.backend import Start
from provision.simulator.guests.booting import BootingGuests
from provision.simulator.guests.container import Container
from provision.simulator.guests.hardware import write_hardware
from provision.simulator.guests.rootfs import DEBIAN_12, System
from provision.simulator.guests.rpc import GuestInfo

SHARED = "/run/vdl"  # where the guest finds its socket and its hardware

# Set in containers only: a virtual machine runs its own kernel and sets up its own network.
DISK = {
    "etc/ld.so.preload": "/usr/local/lib/vdl-uname.so\n",
    "etc/cloud/cloud.cfg.d/91_vdl_network.cfg": (
        "network: {config: disabled}\nupdates: {network: {when: [boot-new-instance]}}\n"
    ),
}


class NspawnGuests(BootingGuests[Container]):
    """Guests in containers.

    Args:
        folder: Where they are kept.
        shown: Folders of this machine that every guest may read, by their paths inside.
        system: What they boot.

    Raises:
        UsageError: The user is not root, or this machine lacks something.
    """

    needed = (
        ("mmdebstrap", "mmdebstrap"),
        ("systemd-nspawn", "systemd-container"),
        ("setpriv", "util-linux"),
        ("nft", "nftables"),
        ("ip", "iproute2"),
    )

    def __init__(
        self,
        folder: Path,
        shown: Mapping[str, Path] | None = None,
        system: System = DEBIAN_12,
    ) -> None:
        super().__init__(folder, system)
        self._shown = dict(shown or {})

    def hardware(self, moid: str) -> Path:
        """Return the folder of `hardware.write_hardware` that the guest of a VM is shown."""
        return self._folder / moid / "shared" / "hardware"

    def _make(self, vm: Start, folder: Path, info: GuestInfo) -> Container:
        del info  # the guest finds its socket in the folder
        write_hardware(self.hardware(vm.moid), vm.gpus)
        machine = Container(self._root, folder, vm.name, self._network, shown=self._shown)
        machine.share(SHARED, folder / "shared")
        for name, text in DISK.items():
            path = machine.disk / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return machine
