"""What a running guest tells through VMware Tools, and which of its addresses lead to it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from provision.vsphere.cloudinit import HOST_KEYS, SSH_PORT
from provision.vsphere.devices import options
from provision.vsphere.port import GuestReport

# Where libvirt (virbr0) and Docker (docker0) put their bridges by default. Every guest that
# runs them has the same address there, and none of them leads to it.
LIBVIRT_BRIDGE = ipaddress.ip_network("192.168.122.0/24")
DOCKER_BRIDGE = ipaddress.ip_network("172.17.0.0/16")
DOCKER_GATEWAY = ipaddress.ip_address("172.17.0.1")
# RFC 2544: benchmarks only. A simulated guest without an SSH server has such an address.
NOWHERE = ipaddress.ip_network("198.18.0.0/15")
DEFAULT_SSH_PORT = 22


def report(values: Mapping[str, Any], *, simulated: bool) -> GuestReport:
    """Return what a VM's properties (`waiter.VM_PATHS`) say of its guest.

    Args:
        values: The properties; addresses count only while tools run.
        simulated: Simulated guests live on this machine, so loopback leads to them.
    """
    extra = options(values.get("config.extraConfig"))
    running = values.get("guest.toolsRunningStatus") == "guestToolsRunning"
    found = usable(values, simulated=simulated) if running else ()
    keys = (key.strip() for key in extra.get(HOST_KEYS, "").split(";"))
    port = extra.get(SSH_PORT, "")
    return GuestReport(
        addresses=found,
        host_keys=tuple(key for key in keys if key),
        ssh_port=int(port) if port.isdecimal() else DEFAULT_SSH_PORT,
    )


def usable(values: Mapping[str, Any], *, simulated: bool) -> tuple[str, ...]:
    """Return the addresses that lead to the guest: IPv4 first, otherwise as tools order them."""
    nics = values.get("guest.net") or ()
    pairs = [(address, nic) for nic in nics for address in nic.ipAddress or ()]
    if not pairs and values.get("guest.ipAddress"):
        pairs = [(values["guest.ipAddress"], None)]
    good = [a for a, nic in pairs if _leads_there(a, nic, simulated=simulated)]
    unique = list(dict.fromkeys(good))
    return tuple(sorted(unique, key=lambda a: ipaddress.ip_address(a).version))


def _leads_there(text: str, nic: Any, *, simulated: bool) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.is_loopback:
        return simulated
    if address.is_link_local or address.is_unspecified or address.is_multicast:
        return False
    if address in LIBVIRT_BRIDGE or address == DOCKER_GATEWAY:
        return False
    return not (address in DOCKER_BRIDGE and _is_bridge(nic))


def _is_bridge(nic: Any) -> bool:
    """Whether a guest's interface is no network card of the VM: tools then know no device."""
    return nic is None or nic.deviceConfigId is None or nic.deviceConfigId < 0


def nowhere(addresses: Iterable[str]) -> bool:
    """Whether all addresses are those of simulated guests that nobody can log in to."""
    return all(ipaddress.ip_address(text) in NOWHERE for text in addresses)
