"""What the simulated vCenter asks of whatever stands behind its VMs."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class GuestReport:
    """What VMware Tools would tell vCenter once the guest is up.

    `guestinfo` are the `guestinfo.*` settings that the guest publishes about itself, such as
    `guestinfo.vdl.hostkeys` and `guestinfo.vdl.ssh_port`.
    """

    hostname: str
    addresses: tuple[str, ...]
    guestinfo: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GuestGpu:
    """A GPU as its VM sees it.

    `profile` is that of a vGPU, None for a whole card; `framebuffer` is in MiB.
    """

    name: str
    vendor_id: int
    device_id: int
    framebuffer: int
    profile: str | None = None


OnReady = Callable[[GuestReport], None]


@dataclass(frozen=True, slots=True)
class Start:
    """A VM that was powered on.

    `on_ready` takes what the guest tells, each time that it tells something; `on_off` is called
    when the guest has switched itself off. Both may come from any thread.
    """

    moid: str
    name: str
    guestinfo: Mapping[str, str]
    on_ready: OnReady
    on_off: Callable[[], None] = lambda: None
    gpus: tuple[GuestGpu, ...] = ()


class GuestBackend(Protocol):
    """Starts and stops the guest of a VM. Calls return at once; reports come from a thread."""

    def start(self, vm: Start) -> None:
        """Boot the guest of a VM that was powered on."""

    def shut_down(self, moid: str) -> bool:
        """Ask the guest to shut down; False where there is nobody to ask."""

    def restart(self, moid: str) -> bool:
        """Ask the guest to restart; False where there is nobody to ask."""

    def stop(self, moid: str) -> None:
        """End the guest of a VM that was powered off or destroyed."""

    def close(self) -> None:
        """End all guests."""


class NoGuests:
    """Guests that report an address that leads nowhere and can't be reached."""

    def __init__(self) -> None:
        # RFC 2544 reserves 198.18.0.0/15 for benchmarks: it leads nowhere.
        self._addresses = itertools.cycle(ipaddress.ip_network("198.18.0.0/15").hosts())

    def start(self, vm: Start) -> None:
        """Report the guest as up at once."""
        vm.on_ready(GuestReport(hostname=vm.name, addresses=(str(next(self._addresses)),)))

    def shut_down(self, moid: str) -> bool:
        """Nothing runs, so nobody can be asked."""
        del moid
        return False

    def restart(self, moid: str) -> bool:
        """Nothing runs, so nobody can be asked."""
        del moid
        return False

    def stop(self, moid: str) -> None:
        """Nothing runs, so nothing ends."""

    def close(self) -> None:
        """Nothing runs, so nothing ends."""
