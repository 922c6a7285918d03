"""Simulated VMs that boot: a systemd-nspawn container each, with systemd, sshd and cloud-init.

cloud-init gets its data from the VM's guestinfo, so user, keys and host name come about as on a
real vCenter, and so does the publication of the host keys. Needs root.
"""

from __future__ import annotations

import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from provision.errors import UsageError
from provision.simulator.guests import container
from provision.simulator.guests.backend import Start
from provision.simulator.guests.container import Container
from provision.simulator.guests.hardware import write_hardware
from provision.simulator.guests.network import Network
from provision.simulator.guests.rootfs import root_file_system
from provision.simulator.guests.rpc import GuestInfo

LOG = logging.getLogger(__name__)

SHARED = "/run/vdl"  # where the guest finds its socket and its hardware

# Set in containers only: a virtual machine runs its own kernel and sets up its own network.
DISK = {
    "etc/ld.so.preload": "/usr/local/lib/vdl-uname.so\n",
    "etc/cloud/cloud.cfg.d/91_vdl_network.cfg": "network: {config: disabled}\n",
}


@dataclass(frozen=True, slots=True)
class _Guest:
    machine: Container
    info: GuestInfo


class NspawnGuests:
    """Guests that boot, kept under `folder`. A VM keeps its disk until it is destroyed.

    Raises:
        UsageError: The user is not root, or this machine lacks something.
    """

    def __init__(self, folder: Path) -> None:
        if os.geteuid() != 0:
            raise UsageError(
                "guests that boot need root",
                why="their file systems are mounted and owned by users of their own",
                fix="run it as root, or have `guests: ssh` in the world file",
            )
        container.require_tools()
        self._folder = folder
        self._root = root_file_system()
        self._network = Network()
        self._guests: dict[str, _Guest] = {}
        # vCenter waits for none of this, and one after the other is the order it asked in.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="guests")

    def start(self, vm: Start) -> None:
        """Boot the guest of a VM that was powered on."""
        self._worker.submit(self._start, vm)

    def shut_down(self, moid: str) -> bool:
        """Ask the guest to shut down: its systemd ends all services first."""
        return self._ask(moid, "poweroff")

    def restart(self, moid: str) -> bool:
        """Ask the guest to restart."""
        return self._ask(moid, "reboot")

    def stop(self, moid: str) -> None:
        """Take the power of a guest away."""
        self._worker.submit(self._stop, moid)

    def close(self) -> None:
        """End all guests and remove their disks."""
        for moid in list(self._guests):
            self._worker.submit(self._stop, moid)
        self._worker.shutdown(wait=True)
        self._network.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def machine(self, moid: str) -> Container:
        """Return the container behind a VM that is on.

        Raises:
            KeyError: It is off.
        """
        return self._guests[moid].machine

    def hardware(self, moid: str) -> Path:
        """Return the folder of `hardware.write_hardware` that the guest of a VM is shown."""
        return self._folder / moid / "shared" / "hardware"

    def _start(self, vm: Start) -> None:
        self._stop(vm.moid)
        folder = self._folder / vm.moid
        shared = folder / "shared"
        shutil.rmtree(shared, ignore_errors=True)
        write_hardware(shared / "hardware", vm.gpus)
        machine = Container(self._root, folder, vm.name, self._network, {SHARED: shared})
        for name, text in DISK.items():
            path = machine.disk / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        info = GuestInfo(shared / "rpc", vm.guestinfo, vm.on_ready)
        self._guests[vm.moid] = _Guest(machine, info)
        try:
            machine.start(vm.on_off)
        except UsageError:
            # Like a real guest that does not boot: vCenter never hears of an address.
            LOG.exception("the guest of %s did not come up", vm.name)

    def _ask(self, moid: str, verb: str) -> bool:
        if guest := self._guests.get(moid):
            self._worker.submit(guest.machine.run, ["systemctl", "--no-block", verb])
        return guest is not None

    def _stop(self, moid: str) -> None:
        if guest := self._guests.pop(moid, None):
            guest.machine.power_off()
            guest.info.close()
