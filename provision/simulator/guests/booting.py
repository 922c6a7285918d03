"""Simulated VMs that boot an operating system, whatever plays their hardware. Needs root.

cloud-init gets its data from the VM's guestinfo, so user, keys and host name come about as on a
real vCenter, and so does the publication of the host keys.
"""

from __future__ import annotations

import logging
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from provision.errors import UsageError
from provision.simulator.guests.backend import Start
from provision.simulator.guests.network import Network
from provision.simulator.guests.rootfs import DEBIAN_12, System, root_file_system
from provision.simulator.guests.rpc import GuestInfo

LOG = logging.getLogger(__name__)


class Machine(Protocol):
    """What a guest boots on."""

    def start(self, on_off: Callable[[], None]) -> None:
        """Switch it on; `on_off` comes when it is off, for whatever reason."""

    def shut_down(self) -> None:
        """Ask its operating system to end."""

    def restart(self) -> None:
        """Ask its operating system to restart."""

    def power_off(self) -> None:
        """Take its power away, and wait until it is gone."""


M = TypeVar("M", bound=Machine)


class BootingGuests(ABC, Generic[M]):
    """Guests that boot, kept under `folder`. A VM keeps its disk as long as this object lives.

    Raises:
        UsageError: The user is not root, or this machine lacks something.
    """

    needed: tuple[tuple[str, str], ...]
    """Commands that this machine must have, and the packages that bring them."""

    def __init__(self, folder: Path, system: System = DEBIAN_12) -> None:
        _require(self.needed)
        self._folder = folder.absolute()
        self._root = root_file_system(system)
        self._network = Network()
        self._guests: dict[str, tuple[M, GuestInfo]] = {}
        # vCenter waits for none of this, and one after the other is the order it asked in.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="guests")

    @abstractmethod
    def _make(self, vm: Start, folder: Path, info: GuestInfo) -> M:
        """Return the machine of a VM; its files go into `folder`, and it talks to `info`."""

    def start(self, vm: Start) -> None:
        """Boot the guest of a VM that was powered on."""
        self._worker.submit(self._start, vm)

    def shut_down(self, moid: str) -> bool:
        """Ask the guest to shut down: its systemd ends all services first."""
        if found := self._guests.get(moid):
            self._worker.submit(found[0].shut_down)
        return found is not None

    def restart(self, moid: str) -> bool:
        """Ask the guest to restart."""
        if found := self._guests.get(moid):
            self._worker.submit(found[0].restart)
        return found is not None

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

    def machine(self, moid: str) -> M:
        """Return the machine behind a VM that is on.

        Raises:
            KeyError: It is off.
        """
        return self._guests[moid][0]

    def _start(self, vm: Start) -> None:
        self._stop(vm.moid)
        folder = self._folder / vm.moid
        shared = folder / "shared"
        shutil.rmtree(shared, ignore_errors=True)
        shared.mkdir(parents=True)
        try:
            info = GuestInfo(shared / "rpc", vm.guestinfo, vm.on_ready)
            machine = self._make(vm, folder, info)
            self._guests[vm.moid] = (machine, info)
            machine.start(vm.on_off)
        except (OSError, UsageError):
            # Like a real guest that does not boot: vCenter never hears of an address.
            LOG.exception("the guest of %s did not come up", vm.name)

    def _stop(self, moid: str) -> None:
        if found := self._guests.pop(moid, None):
            machine, info = found
            machine.power_off()
            info.close()


def _require(commands: tuple[tuple[str, str], ...]) -> None:
    if os.geteuid() != 0:
        raise UsageError(
            "guests that boot need root",
            why="their file systems are mounted and owned by users of their own",
            fix="run it as root, or have `guests: ssh` in the world file",
        )
    missing = {package for command, package in commands if shutil.which(command) is None}
    if missing:
        raise UsageError(
            "this machine can't boot guests",
            why="programs are missing",
            fix=f"apt install {' '.join(sorted(missing))}",
        )
