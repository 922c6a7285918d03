"""Which VMs of a lab can be logged in to, where, and why the others can't.

Names, addresses and ports come from vCenter and from the guests themselves: they are checked
here, before they reach an inventory, a template or a path.
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from provision.guests.hostkeys import GUESTINFO_KEYS, SSH_PORT
from provision.plan.snapshot import Power, Vm

GUESTINFO_PORT = "guestinfo.vdl.ssh_port"

# libvirt's and Docker's default bridges: the same in every guest, so they lead to none.
_BRIDGES = frozenset({"192.168.122.1", "172.17.0.1"})
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_HIGHEST_PORT = 65535


class Unreachable(ValueError):
    """Why a machine can't be logged in to, in words for a person."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A machine that can be logged in to. `host_keys` is guestinfo as it is, not yet parsed."""

    vm: Vm
    name: str
    group: str
    address: str
    port: int
    host_keys: str


def guests_of(
    lab_name: str, vms: Iterable[Vm], *, simulated: bool = False
) -> tuple[tuple[Guest, ...], dict[str, str]]:
    """Sort the lab's VMs into guests, by name, and a reason for each machine that is none.

    VMs of another lab and strangers are passed over. `simulated` allows loopback addresses,
    on which the simulator's guests answer.
    """
    claimants: dict[str, list[Vm]] = defaultdict(list)
    for vm in vms:
        if vm.lab == lab_name:
            claimants[vm.machine or ""].append(vm)
    guests: list[Guest] = []
    left_out: dict[str, str] = {}
    for machine in sorted(claimants):
        try:
            guests.append(_guest(lab_name, machine, claimants[machine], simulated=simulated))
        except Unreachable as reason:
            left_out[_printable(machine)] = str(reason)
    left_out |= _doubtful(guests)
    return tuple(guest for guest in guests if guest.name not in left_out), left_out


def _doubtful(guests: Iterable[Guest]) -> dict[str, str]:
    """Return the guests whose address another one has too: only one of them answers there.

    vCenter keeps the address of a guest that hangs after DHCP has given it away.
    """
    at: dict[tuple[str, int], list[str]] = defaultdict(list)
    for guest in guests:
        at[guest.address, guest.port].append(guest.name)
    return {
        name: f"{' and '.join(names)} report the same address, {address}: look at their networks"
        for (address, _), names in at.items()
        if len(names) > 1
        for name in names
    }


def _guest(lab_name: str, machine: str, claimants: list[Vm], *, simulated: bool) -> Guest:
    match = re.fullmatch(
        rf"{re.escape(lab_name)}-(?P<group>[a-z][a-z0-9]{{0,29}})-[1-9][0-9]*", machine
    )
    paths = ", ".join(sorted(_printable(vm.path) for vm in claimants))
    if match is None:
        raise Unreachable(f"the stamp vdl.machine of {paths} names no machine of lab {lab_name}")
    if len(claimants) > 1:
        raise Unreachable(f"several VMs claim to be this machine: {paths}")
    vm = claimants[0]
    if vm.power is not Power.ON:
        raise Unreachable(f"the VM is {vm.power.value}: power it on with vdl provision")
    return Guest(
        vm=vm,
        name=machine,
        group=match["group"],
        address=_address(vm.addresses, simulated=simulated),
        port=_port(vm.guestinfo.get(GUESTINFO_PORT, str(SSH_PORT))),
        host_keys=vm.guestinfo.get(GUESTINFO_KEYS, ""),
    )


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:80])


def _address(addresses: Iterable[str], *, simulated: bool) -> str:
    seen = tuple(addresses)
    for text in seen:
        if usable(text, simulated=simulated):
            return text
    told = ", ".join(repr(text[:60]) for text in seen) or "none"
    raise Unreachable(f"VMware Tools report no usable address (reported: {told})")


def usable(text: str, *, simulated: bool) -> bool:
    """Whether an address that a guest reports may lead to it from the outside.

    Source: packer-builder-vsphere #318 for the bridges.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        return False
    if address.is_loopback:
        return simulated
    unfit = address.is_link_local or address.is_multicast or address.is_unspecified
    return not unfit and text not in _BRIDGES


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > _HIGHEST_PORT:
        raise Unreachable(f"{GUESTINFO_PORT} is no port: {text[:60]!r}")
    return int(text)
