"""Host keys of machines that publish none: asked for once, over the network, and remembered.

Nothing proves that the right machine answers this question, so it is only asked where a person
agrees to it, and only for machines of which no key is known yet.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from provision.deadline import Deadline
from provision.errors import SpecError, UsageError
from provision.guests.hostkeys import GuestKeys, Remembered, parse_host_keys
from provision.guests.machines import Guest

KINDS = "ed25519,ecdsa,rsa"
ANSWER_SECONDS = 5
PAUSE_SECONDS = 2.0

Keys = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FirstUse:
    """Agrees to ask machines for their host keys; `patience` is seconds until sshd must be up."""

    patience: float

    def keys_of(self, guests: Iterable[Guest]) -> dict[str, Keys]:
        """Return the keys of each machine that answers, by name.

        Raises:
            UsageError: ssh-keyscan is missing.
        """
        deadline = Deadline.after(self.patience)
        waiting = {guest.name: guest for guest in guests}
        found: dict[str, Keys] = {}
        while waiting:
            found |= _scan(waiting.values())
            waiting = {name: one for name, one in waiting.items() if name not in found}
            if deadline.passed:
                break
            if waiting:
                time.sleep(min(PAUSE_SECONDS, deadline.left))
        return found


def _scan(guests: Iterable[Guest]) -> dict[str, Keys]:
    by_port: dict[int, list[Guest]] = defaultdict(list)
    for guest in guests:
        by_port[guest.port].append(guest)
    found: dict[str, Keys] = {}
    for port, members in by_port.items():
        names = {guest.address: guest.name for guest in members}
        for address, keys in _ask(port, names).items():
            found[names[address]] = keys
    return found


def _ask(port: int, addresses: Iterable[str]) -> dict[str, Keys]:
    """Return the keys that each address answers with; those that don't answer are left out.

    Source: ssh-keyscan(1); its lines are those of a known_hosts file.
    """
    words = ["ssh-keyscan", "-T", str(ANSWER_SECONDS), "-p", str(port), "-t", KINDS, *addresses]
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
            errors="replace", check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise UsageError("ssh-keyscan is missing", fix="install the OpenSSH client") from None
    said: dict[str, list[str]] = defaultdict(list)
    for line in done.stdout.splitlines():
        pattern, _, key = line.partition(" ")
        said[pattern.removeprefix("[").removesuffix(f"]:{port}")].append(key)
    found: dict[str, Keys] = {}
    for address, keys in said.items():
        try:
            found[address] = parse_host_keys(";".join(keys))
        except SpecError:
            continue  # no SSH host key: as good as no answer
    return found


def not_its_own(
    found: Mapping[str, GuestKeys], known: Iterable[GuestKeys], memory: Mapping[str, Remembered]
) -> dict[str, str]:
    """Return the machines that answered with another machine's keys, each with that one's name.

    Then the address leads to the other machine (it was passed on), or both have the keys of their
    template, so that each could take the other's place.
    """
    owners: dict[str, set[str]] = defaultdict(set)
    names: dict[str, str] = {}
    for one in (*known, *found.values()):
        names[one.instance_uuid] = one.machine
        for key in one.keys:
            owners[key].add(one.instance_uuid)
    for uuid, remembered in memory.items():
        for key in remembered.keys:
            owners[key].add(uuid)
    wrong: dict[str, str] = {}
    for machine, mine in found.items():
        others = {uuid for key in mine.keys for uuid in owners[key]} - {mine.instance_uuid}
        if others:
            wrong[machine] = ", ".join(sorted(names.get(uuid, uuid) for uuid in others))
    return wrong


def fingerprints(keys: Iterable[str]) -> list[str]:
    """Return the keys as people compare them: `ED25519 SHA256:…`, as ssh-keygen -l prints."""
    return [_fingerprint(*key.split(" ")) for key in keys]


def _fingerprint(kind: str, blob: str) -> str:
    digest = base64.b64encode(hashlib.sha256(base64.b64decode(blob)).digest()).decode()
    return f"{kind.removeprefix('ssh-')} SHA256:{digest.rstrip('=')}"
