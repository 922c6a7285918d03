"""By which SSH host keys each machine is known: published, remembered, or asked for once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from provision.errors import SpecError
from provision.guests.firstuse import FirstUse, not_its_own
from provision.guests.hostkeys import GuestKeys, Remembered, parse_host_keys
from provision.guests.machines import Guest

NO_KEY = SpecError(
    "the guest publishes no SSH host key",
    why="guestinfo.vdl.hostkeys is empty, so nothing proves that the right guest answers",
    fix="boot it with vdl's own cloud-init data, publish the key with vmware-rpctool, or trust "
    "what answers first: vdl configure --accept-new-host-keys",
).text()


@dataclass(slots=True)
class Acquaintance:
    """Keys by machine, the reason for each machine without, and those that are new to us."""

    keys: dict[str, GuestKeys] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    accepted: dict[str, tuple[str, ...]] = field(default_factory=dict)


def keys_of(
    guests: Iterable[Guest], memory: Mapping[str, Remembered], first_use: FirstUse | None = None
) -> Acquaintance:
    """Find the keys of each guest; only `first_use` contacts any, and only those without."""
    known = Acquaintance()
    mute: dict[str, Guest] = {}
    for guest in guests:
        try:
            keys = _known(guest, memory)
        except SpecError as error:
            known.left_out[guest.name] = error.text()
            continue
        if keys:
            known.keys[guest.name] = _keys(guest, keys)
        else:
            mute[guest.name] = guest
    if first_use and mute:
        _ask(first_use, mute, memory, known)
    else:
        known.left_out |= dict.fromkeys(mute, NO_KEY)
    return known


def keyless(guests: Iterable[Guest], memory: Mapping[str, Remembered]) -> tuple[str, ...]:
    """Return the guests that have published nothing, and of which nothing is remembered."""
    return tuple(
        guest.name
        for guest in guests
        if not guest.host_keys.strip() and not _remembered(guest, memory)
    )


def _known(guest: Guest, memory: Mapping[str, Remembered]) -> tuple[str, ...]:
    """Return the keys that a guest publishes, else those that the same VM had earlier, or none."""
    return parse_host_keys(guest.host_keys) or _remembered(guest, memory)


def _remembered(guest: Guest, memory: Mapping[str, Remembered]) -> tuple[str, ...]:
    remembered = memory.get(guest.vm.instance_uuid)
    return remembered.keys if remembered and remembered.vm_id == guest.vm.id else ()


def _ask(
    first_use: FirstUse,
    mute: Mapping[str, Guest],
    memory: Mapping[str, Remembered],
    known: Acquaintance,
) -> None:
    answers = first_use.keys_of(mute.values())
    found = {name: _keys(mute[name], keys) for name, keys in answers.items()}
    wrong = not_its_own(found, known.keys.values(), memory)
    for name, guest in mute.items():
        where = f"{guest.address} port {guest.port}"
        if name not in found:
            known.left_out[name] = (
                f"no SSH server answered at {where} for {first_use.patience:.0f} s"
            )
        elif name in wrong:
            known.left_out[name] = _mistaken(where, wrong[name])
        else:
            known.keys[name] = found[name]
            known.accepted[name] = found[name].keys


def _keys(guest: Guest, keys: tuple[str, ...]) -> GuestKeys:
    vm = guest.vm
    return GuestKeys(guest.name, vm.instance_uuid, vm.id, guest.address, guest.port, keys)


def _mistaken(where: str, other: str) -> str:
    return SpecError(
        f"what answers at {where} has the SSH host key of {other}",
        why="the address leads to that machine, or both have the host keys of their template",
        fix="wait until VMware Tools report the right address, or remove /etc/ssh/ssh_host_* from "
        "the template, so that each clone makes its own",
    ).text()
