"""Variables of the lab's machines that come from the lab file and from this computer.

They are those of the inventory's group `vdl`, so that `ansible-playbook` with the inventory
plugin gets the same as vdl itself, and machines from elsewhere (bare metal) get none of them.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from provision.guests.ssh import ssh_options
from provision.spec.model import Lab


def lab_variables(lab: Lab, known_hosts: Path, *, simulated: bool = False) -> dict[str, Any]:
    """Return what every machine of the lab shares: how to log in, and what roles should know.

    `known_hosts` is the file of accepted SSH host keys; no other keys are.
    """
    key = private_key(lab)
    variables: dict[str, Any] = {
        "ansible_ssh_common_args": shlex.join(ssh_options(known_hosts, only_key=key is not None))
    }
    if key is not None:
        variables["ansible_ssh_private_key_file"] = str(key)
    if simulated:
        # A simulated guest answers on a loopback address: its Python is this very one.
        variables |= dict.fromkeys(
            ("ansible_python_interpreter", "payload_base_python", "payload_python"), sys.executable
        )
    variables["vdl_drivers"] = lab.drivers.model_dump(mode="json", exclude_none=True)
    if lab.guest.ca_file is not None:
        variables["vdl_ca_file"] = lab.guest.ca_file
    return variables


def private_key(lab: Lab) -> Path | None:
    """Return the private half of the lab's key, where it lies beside the public one."""
    path = lab.guest.ssh_key.private_path
    return path if path is not None and path.is_file() else None
