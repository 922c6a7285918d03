"""Simulated VMs with a real SSH server each, so that Ansible and the payload really run.

OpenSSH's sshd serves the guest where it is installed and the kernel grants namespaces to an
ordinary user; asyncssh does everywhere else. Both need no privileges. Each guest has a
loopback address, a home folder and a host key of its own.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import random
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from provision.simulator.guests.backend import GuestReport, Start
from provision.simulator.guests.embedded import EmbeddedServer, EventLoop
from provision.simulator.guests.identity import Identity, read_identity
from provision.simulator.guests.openssh import OpenSshServer, sshd_path

LOG = logging.getLogger(__name__)

SSH_PORT = 2222  # an ordinary user may not listen on port 22


class _Server(Protocol):
    def stop(self) -> None: ...


class Addresses:
    """Loopback addresses for guests: a /16 of 127.0.0.0/8 that no other simulator uses.

    Where only 127.0.0.1 exists (macOS), guests share it and differ by port.
    """

    def __init__(self) -> None:
        self._guard = socket.socket()
        self._taken = 0
        self._network: ipaddress.IPv4Network | None = None
        for second in random.sample(range(64, 255), k=191):
            network = ipaddress.IPv4Network(f"127.{second}.0.0/16")
            with contextlib.suppress(OSError):
                self._guard.bind((str(network[-2]), SSH_PORT))
                self._network = network
                break

    def take(self) -> tuple[str, int]:
        """Return an address and a port that are free now."""
        if self._network is not None:
            self._taken += 1
            return str(self._network[self._taken]), SSH_PORT
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return "127.0.0.1", int(probe.getsockname()[1])

    def close(self) -> None:
        """Give the network back."""
        self._guard.close()


class SshGuests:
    """Guests with SSH servers, kept under `folder`.

    Servers are started from one thread that lives as long as this object, because the kernel
    ends an sshd with the thread that started it: a killed simulator leaves no guests behind.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._addresses = Addresses()
        self._places: dict[str, tuple[str, int]] = {}
        self._servers: dict[str, _Server] = {}
        self._events: EventLoop | None = None
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="guests")

    def start(self, vm: Start) -> None:
        """Boot the guest of a VM that was powered on."""
        self._worker.submit(self._start, vm)

    def shut_down(self, moid: str) -> bool:
        """Behind the SSH server is no operating system that could be asked."""
        del moid
        return False

    def restart(self, moid: str) -> bool:
        """Behind the SSH server is no operating system that could be asked."""
        del moid
        return False

    def stop(self, moid: str) -> None:
        """End the guest of a VM that was powered off, shut down or destroyed."""
        self._worker.submit(self._stop, moid)

    def close(self) -> None:
        """End all guests and remove what they wrote."""
        for moid in list(self._places):
            self._worker.submit(self._stop, moid)
        self._worker.shutdown(wait=True)
        if self._events is not None:
            self._events.close()
        self._addresses.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, vm: Start) -> None:
        self._stop(vm.moid)
        address, port = self._places.setdefault(vm.moid, self._addresses.take())
        identity = read_identity(vm.name, vm.guestinfo)
        if identity is None:
            vm.on_ready(GuestReport(hostname=vm.name, addresses=(address,)))
            return
        folder = self._folder / vm.moid
        (folder / "home").mkdir(parents=True, exist_ok=True, mode=0o700)
        public_key = host_key(folder / "ssh_host_ed25519_key")
        try:
            self._servers[vm.moid] = self._serve(identity, folder, address, port)
        except OSError:
            # Like a real guest that does not boot: vCenter never hears of an address.
            LOG.exception("the guest of %s did not come up", vm.name)
            return
        published = {"guestinfo.vdl.hostkeys": public_key, "guestinfo.vdl.ssh_port": str(port)}
        vm.on_ready(GuestReport(identity.hostname, (address,), published))

    def _serve(self, identity: Identity, folder: Path, address: str, port: int) -> _Server:
        if sshd_path() is not None:
            return OpenSshServer(identity, folder, address, port)
        if self._events is None:
            self._events = EventLoop()
        return EmbeddedServer(self._events, identity, folder, address, port)

    def _stop(self, moid: str) -> None:
        if server := self._servers.pop(moid, None):
            server.stop()


def host_key(path: Path) -> str:
    """Return the public half of the host key at `path`, which is made on first use."""
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(private)
    loaded = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    public = loaded.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return public.decode()
