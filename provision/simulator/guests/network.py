"""Addresses for guests that boot: each has a network namespace, tied to this machine by a cable.

Nothing of it outlives the process: a namespace lives as long as the process that holds it, and
a cable ends with either end. Guests reach the outside through this machine, as a nftables table
of their own lets them; the next start removes the table of a process that was killed.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from provision.errors import UsageError

# RFC 2544 reserves 198.18.0.0/15 for benchmarks: no route of a site leads there.
PREFIX = "198.18"
HIGHEST = 254
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_TABLE = re.compile(r"vdl-guests-(?P<pid>[0-9]+)-[0-9]+")


@dataclass(frozen=True, slots=True)
class Link:
    """A network namespace with one interface, `host0`, that this machine reaches at `address`.

    `holder` is the process that keeps the namespace.
    """

    address: str
    holder: subprocess.Popen[bytes]

    @property
    def namespace(self) -> str:
        """The file of the namespace."""
        return f"/proc/{self.holder.pid}/ns/net"

    def close(self) -> None:
        """End the namespace, and the cable with it."""
        self.holder.kill()
        self.holder.wait()


_HOLD = "echo ready; exec sleep infinity"


@dataclass(frozen=True, slots=True)
class Cable:
    """The network of a virtual machine: a tap interface, and an address that it gets by DHCP.

    The interface is made by QEMU and goes with it.
    """

    interface: str
    gateway: str
    address: str
    mac: str

    def script(self, folder: Path) -> Path:
        """Write what QEMU shall run when the interface is there."""
        path = folder / "tap-up"
        up = f'ip address add {self.gateway}/30 dev "$1"\nip link set "$1" up\n'
        path.write_text(f"#!/bin/sh -e\n{up}")
        path.chmod(0o700)
        return path

    def dhcp(self, folder: Path) -> list[str]:
        """Return the command that answers the machine's question for an address."""
        words = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0"]
        words += ["--user=root", "--bind-dynamic", f"--interface={self.interface}"]
        words += [f"--dhcp-range={self.address},{self.address},255.255.255.252"]
        words += ["--dhcp-authoritative", f"--dhcp-leasefile={folder / 'leases'}"]
        words += [f"--dhcp-option=option:router,{self.gateway}", "--pid-file="]
        return [*words, f"--dhcp-option=option:dns-server,{_name_server()}"]


class Network:
    """A /24 of 198.18.0.0/16 that no other process's guests use; its .1 is this machine.

    Raises:
        UsageError: This machine lacks `ip` or `nft`, or does not let them work.
    """

    def __init__(self) -> None:
        self._guard, self.third = _claim()
        self.gateway = f"{PREFIX}.{self.third}.1"
        self._hosts = itertools.count(2)
        self._table = f"vdl-guests-{os.getpid()}-{self.third}"
        self._mtu = _mtu()
        _remove_dead_tables()
        _run("nft", "add", "table", "ip", self._table)
        chain = "{ type nat hook postrouting priority srcnat; }"
        _run("nft", "add", "chain", "ip", self._table, "out", chain)
        inside = f"{PREFIX}.{self.third}.0/24"
        rule = ("ip", "saddr", inside, "ip", "daddr", "!=", f"{PREFIX}.0.0/15", "masquerade")
        _run("nft", "add", "rule", "ip", self._table, "out", *rule)
        FORWARDING.write_text("1")

    def link(self) -> Link:
        """Make a namespace with an address. It ends with the thread that calls this.

        Raises:
            UsageError: The kernel refuses.
        """
        number = next(self._hosts)
        if number > HIGHEST:
            raise UsageError("a simulator has addresses for 253 guests, no more")
        address = f"{PREFIX}.{self.third}.{number}"
        holder = subprocess.Popen(
            [*("setpriv", "--pdeathsig", "KILL", "unshare", "--net"), *("sh", "-c", _HOLD)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        if holder.stdout is not None:
            with holder.stdout as said:
                said.readline()  # now the namespace is there
        inner, outer = "host0", f"vdl{self.third}g{number}"
        mtu = ("mtu", str(self._mtu))
        pid = str(holder.pid)
        _run("ip", "link", "add", outer, *mtu, "type", "veth", "peer", "name", inner, *mtu,
             "netns", pid)  # fmt: skip
        _run("ip", "address", "add", f"{self.gateway}/32", "dev", outer)
        _run("ip", "link", "set", outer, "up")
        inside = ("nsenter", "--target", pid, "--net", "ip")
        _run(*inside, "link", "set", "lo", "up")
        _run(*inside, "link", "set", inner, "up")
        _run(*inside, "address", "add", f"{address}/32", "dev", inner)
        _run(*inside, "route", "add", self.gateway, "dev", inner)
        _run(*inside, "route", "add", "default", "via", self.gateway)
        _run("ip", "route", "add", f"{address}/32", "dev", outer)
        return Link(address, holder)

    def cable(self) -> Cable:
        """Return the network of a virtual machine; each has four addresses to itself.

        Raises:
            UsageError: All are in use.
        """
        number = next(self._hosts)
        first = 4 * number
        if first + 2 > HIGHEST:
            raise UsageError("a simulator has addresses for 61 virtual machines, no more")
        base = f"{PREFIX}.{self.third}"
        return Cable(
            interface=f"vdl{self.third}q{number}",
            gateway=f"{base}.{first + 1}",
            address=f"{base}.{first + 2}",
            # The range that VMware keeps for addresses set by hand.
            mac=f"00:50:56:00:{self.third:02x}:{number:02x}",
        )

    def close(self) -> None:
        """Take the guests' way out away, and give the addresses back."""
        _run("nft", "delete", "table", "ip", self._table)
        self._guard.close()


def _claim() -> tuple[socket.socket, int]:
    """Return the third number of a free /24, and what keeps others from it.

    A name in the abstract name space of sockets is free again when its process has ended.
    """
    for third in random.sample(range(256), k=256):
        guard = socket.socket(socket.AF_UNIX)
        try:
            guard.bind(f"\0vdl-guests-{PREFIX}.{third}")
        except OSError:
            guard.close()
        else:
            return guard, third
    raise UsageError("all addresses for guests are in use", fix="end other simulators")


def _mtu() -> int:
    """Return the MTU of the interface that leads outside: a larger one would lose packets."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        interface, destination = line.split()[:2]
        if destination == "00000000":
            return int(Path(f"/sys/class/net/{interface}/mtu").read_text())
    return 1500


def _name_server() -> str:
    """Return the name server that this machine asks."""
    words = (line.split() for line in Path("/etc/resolv.conf").read_text().splitlines())
    return next((word[1] for word in words if word[:1] == ["nameserver"]), "127.0.0.1")


def _remove_dead_tables() -> None:
    listed = json.loads(_run("nft", "--json", "list", "tables"))["nftables"]
    for name in [entry["table"]["name"] for entry in listed if "table" in entry]:
        match = _TABLE.fullmatch(name)
        if match is not None and not Path(f"/proc/{match['pid']}").exists():
            # Two that start at once may both want to.
            with suppress(UsageError):
                _run("nft", "delete", "table", "ip", name)


def _run(*words: str) -> str:
    """Run a command of the network's tools.

    Raises:
        UsageError: It is missing, or it failed.
    """
    try:
        done = subprocess.run(words, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise UsageError(
            f"{words[0]} is missing", why="guests need it", fix="apt install iproute2 nftables"
        ) from error
    except subprocess.CalledProcessError as error:
        raise UsageError(
            "the network of the guests can't be set up",
            subject=" ".join(words),
            why=str(error.stderr).strip(),
        ) from error
    return done.stdout
