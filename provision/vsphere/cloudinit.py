"""What a new guest learns about itself, through cloud-init's VMware datasource.

Source: cloud-init documentation, "VMware" datasource (`guestinfo.metadata`,
`guestinfo.userdata`) and "Module reference" (users, ssh_pwauth, write_files).
"""

from __future__ import annotations

import base64
from typing import Any

import yaml

from provision.spec.model import Machine

HOST_KEYS = "guestinfo.vdl.hostkeys"
SSH_PORT = "guestinfo.vdl.ssh_port"
SCRIPT = "/var/lib/cloud/scripts/per-boot/vdl-publish-host-keys"
# What a guest sets by `info-set` is gone after a power cycle, so it is set at every boot.
# vmware-rpctool comes with open-vm-tools; some builds have the command only in vmtoolsd.
# Older cloud-init makes a DSA key too, which OpenSSH accepts no more.
PUBLISH = f"""#!/bin/sh
keys=$(cut -d' ' -f1,2 /etc/ssh/ssh_host_*_key.pub | grep -v '^ssh-dss ' | paste -sd';' -)
set_info="info-set {HOST_KEYS} $keys"
vmware-rpctool "$set_info" || vmtoolsd --cmd "$set_info"
"""


def guestinfo(machine: Machine, instance_id: str) -> dict[str, str]:
    """Return the `guestinfo.*` settings of a machine.

    Args:
        machine: Names the guest, its user and the public key that may log in.
        instance_id: Same id, same instance: cloud-init sets up a guest once per id.
    """
    return {
        "guestinfo.metadata": _encode(_metadata(machine, instance_id)),
        "guestinfo.metadata.encoding": "base64",
        "guestinfo.userdata": _encode(_userdata(machine), header="#cloud-config\n"),
        "guestinfo.userdata.encoding": "base64",
    }


def _metadata(machine: Machine, instance_id: str) -> dict[str, Any]:
    return {"instance-id": instance_id, "local-hostname": machine.name}


def _userdata(machine: Machine) -> dict[str, Any]:
    return {
        "users": [
            {
                "name": machine.user,
                "ssh_authorized_keys": [machine.ssh_key.strip()],
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "shell": "/bin/bash",
                "lock_passwd": True,
            }
        ],
        "ssh_pwauth": False,
        "disable_root": True,
        "write_files": [{"path": SCRIPT, "permissions": "0755", "content": PUBLISH}],
    }


def _encode(document: dict[str, Any], header: str = "") -> str:
    text = header + yaml.safe_dump(document, sort_keys=True)
    return base64.b64encode(text.encode()).decode("ascii")
