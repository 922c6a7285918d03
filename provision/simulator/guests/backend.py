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


OnReady = Callable[[GuestReport], None]


class GuestBackend(Protocol):
    """Starts and stops the guest of a VM. Calls return at once; `on_ready` comes from a thread."""

    def start(self, moid: str, name: str, guestinfo: Mapping[str, str], on_ready: OnReady) -> None:
        """Boot the guest of a VM that was powered on."""

    def stop(self, moid: str) -> None:
        """End the guest of a VM that was powered off, shut down or destroyed."""

    def close(self) -> None:
        """End all guests."""


class NoGuests:
    """Guests that report an address that leads nowhere and can't be reached."""

    def __init__(self) -> None:
        # RFC 2544 reserves 198.18.0.0/15 for benchmarks: it leads nowhere.
        self._addresses = itertools.cycle(ipaddress.ip_network("198.18.0.0/15").hosts())

    def start(self, moid: str, name: str, guestinfo: Mapping[str, str], on_ready: OnReady) -> None:
        """Report the guest as up at once."""
        del moid, guestinfo
        on_ready(GuestReport(hostname=name, addresses=(str(next(self._addresses)),)))

    def stop(self, moid: str) -> None:
        """Nothing runs, so nothing ends."""

    def close(self) -> None:
        """Nothing runs, so nothing ends."""
