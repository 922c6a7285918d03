"""A `known_hosts` file per lab, filled from the keys that the guests publish through vCenter.

A guest is known by the instance UUID of its VM, not by its address: addresses are reused. A VM
that vdl makes anew has the UUID of the one before, but another managed object id; only then may
its keys be others. The file remembers each VM's keys in comment lines, which OpenSSH skips, and
names the current addresses in ordinary lines, so that `ssh -o UserKnownHostsFile=FILE` works
with it too.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from provision.errors import SpecError, VdlError
from provision.guests.files import write_private

GUESTINFO_KEYS = "guestinfo.vdl.hostkeys"
SSH_PORT = 22

# sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT": type, base64 blob; the blob begins with the type again.
_KEY = re.compile(r"^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) ([A-Za-z0-9+/=]{16,})$")
_MEMORY = re.compile(r"^# (?P<uuid>[0-9A-Za-z-]{1,64}) (?P<vm_id>\S{1,64}) (?P<key>\S+ \S+)$")


class HostKeyChanged(VdlError):
    """A guest publishes another SSH host key than before. Nothing was sent to it."""


@dataclass(frozen=True, slots=True)
class GuestKeys:
    """The SSH host keys of one machine, each as `type base64`, and where it answers."""

    machine: str
    instance_uuid: str
    vm_id: str
    address: str
    port: int
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remembered:
    """Which VM published which keys."""

    vm_id: str
    keys: tuple[str, ...]


def parse_host_keys(text: str) -> tuple[str, ...]:
    """Return the keys of a guestinfo value, in which `;` separates them, without comments.

    Raises:
        SpecError: An entry is no SSH public key. The guest writes this text, so nothing else
            may pass.
    """
    entries = [" ".join(entry.split(" ")[:2]) for entry in text.strip().split(";") if entry.strip()]
    for entry in entries:
        if not _is_key(entry):
            raise SpecError(
                "the guest publishes something that is no SSH host key",
                subject=GUESTINFO_KEYS,
                why=f"read {entry[:60]!r}",
                fix="have the guest publish the words of its /etc/ssh/ssh_host_*_key.pub",
            )
    return tuple(sorted(entries))


def _is_key(entry: str) -> bool:
    match = _KEY.fullmatch(entry)
    if match is None:
        return False
    kind, blob = match.groups()
    try:
        raw = base64.b64decode(blob, validate=True)
    except binascii.Error:
        return False
    return raw.startswith(len(kind).to_bytes(4, "big") + kind.encode())


def learn_host_keys(known_hosts: Path, guests: Iterable[GuestKeys]) -> tuple[str, ...]:
    """Write the guests' keys and addresses to `known_hosts`, whole or not at all.

    A VM that is not among `guests` keeps its keys but loses its address, which may by now be
    another VM's.

    Returns:
        The machines whose VM was made anew since, and which have other keys therefore.

    Raises:
        HostKeyChanged: A VM publishes other keys than before. The file stays as it was.
    """
    guests = sorted(guests, key=lambda guest: guest.machine)
    memory = read_memory(known_hosts)
    differ = [g for g in guests if not set(_known(memory, g).keys) <= set(g.keys)]
    if changed := [g for g in differ if _known(memory, g).vm_id == g.vm_id]:
        raise _changed(known_hosts, changed)
    memory |= {g.instance_uuid: Remembered(g.vm_id, g.keys) for g in guests}
    _write(known_hosts, memory, guests)
    return tuple(g.machine for g in differ)


def read_memory(known_hosts: Path) -> dict[str, Remembered]:
    """Return what is remembered per instance UUID; nothing where there is no file yet."""
    if not known_hosts.exists():
        return {}
    memory: dict[str, Remembered] = {}
    for line in known_hosts.read_text(encoding="utf-8").splitlines():
        if match := _MEMORY.fullmatch(line):
            earlier = memory[match["uuid"]].keys if match["uuid"] in memory else ()
            memory[match["uuid"]] = Remembered(match["vm_id"], (*earlier, match["key"]))
    return memory


def _known(memory: Mapping[str, Remembered], guest: GuestKeys) -> Remembered:
    return memory.get(guest.instance_uuid, Remembered(guest.vm_id, ()))


def _write(path: Path, memory: Mapping[str, Remembered], guests: list[GuestKeys]) -> None:
    lines = [f"# {uuid} {m.vm_id} {key}" for uuid, m in sorted(memory.items()) for key in m.keys]
    lines += [f"{_pattern(g.address, g.port)} {key}" for g in guests for key in g.keys]
    write_private(path, "".join(f"{line}\n" for line in lines))


def _pattern(address: str, port: int) -> str:
    return address if port == SSH_PORT else f"[{address}]:{port}"


def _changed(known_hosts: Path, guests: list[GuestKeys]) -> HostKeyChanged:
    names = ", ".join(guest.machine for guest in guests)
    uuids = ", ".join(guest.instance_uuid for guest in guests)
    return HostKeyChanged(
        "the SSH host key differs from the one that was learned before; nothing was contacted",
        subject=names,
        why="the guest was reinstalled, or something else answers in its place",
        fix=f"if the guest was made anew on purpose, delete the lines of {uuids} in {known_hosts}",
    )
