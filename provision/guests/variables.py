"""Variables of the lab's machines that come from the lab file and from this computer.

They are those of the inventory's group `vdl`, so that `ansible-playbook` with the inventory
plugin gets the same as vdl itself, and machines from elsewhere (bare metal) get none of them.
"""

from __future__ import annotations

import ipaddress
import shlex
import sys
from pathlib import Path
from typing import Any

from provision.guests.ssh import ssh_options
from provision.spec.model import Lab


def lab_variables(lab: Lab, known_hosts: Path) -> dict[str, Any]:
    """Return what every machine of the lab shares: how to log in, and what roles should know.

    `known_hosts` is the file of accepted SSH host keys; no other keys are.
    """
    key = private_key(lab)
    variables: dict[str, Any] = {
        "ansible_ssh_common_args": shlex.join(ssh_options(known_hosts, only_key=key is not None))
    }
    if key is not None:
        variables["ansible_ssh_private_key_file"] = str(key)
    variables["vdl_drivers"] = lab.drivers.model_dump(mode="json", exclude_none=True)
    if lab.guest.ca_file is not None:
        variables["vdl_ca_file"] = lab.guest.ca_file
    return variables


def own_variables(address: str) -> dict[str, Any]:
    """Return what is so of one machine because of where it answers.

    A simulated guest with a loopback address is nothing but an SSH server on this computer: its
    Python is this very one, and its system is this computer's, which roles leave alone. Other
    simulated guests have a system of their own, which roles manage as that of any machine.
    """
    if not ipaddress.ip_address(address).is_loopback:
        return {"vdl_managed": True}
    pythons = ("ansible_python_interpreter", "payload_base_python", "payload_python")
    return {"vdl_managed": False, **dict.fromkeys(pythons, sys.executable)}


def private_key(lab: Lab) -> Path | None:
    """Return the private half of the lab's key, where it lies beside the public one."""
    path = lab.guest.ssh_key.private_path
    return path if path is not None and path.is_file() else None
