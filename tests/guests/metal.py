"""A machine that vdl has not made: a real sshd that stands in an inventory of the user's own."""

import getpass
import json
import sys
from pathlib import Path
from typing import Any

from tests.guests.sshd import SshGuest


def own_inventory(folder: Path, guest: SshGuest, **more: Any) -> Path:
    """Write an inventory that names a guest, as its owner would: with a known_hosts of his own."""
    known_hosts = folder / "own_known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{guest.port} {guest.published}\n")
    variables = {
        "ansible_host": "127.0.0.1",
        "ansible_port": guest.port,
        "ansible_user": getpass.getuser(),
        "ansible_ssh_private_key_file": str(guest.folder.parent / "user_key"),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={known_hosts}",
        "ansible_python_interpreter": sys.executable,
        "payload_base_python": sys.executable,
        "payload_python": sys.executable,
        **more,
    }
    path = folder / "metal.yml"
    gpus = {"vdl_gpu_mode": "bare-metal", "vdl_gpu_model": "A100-80", "vdl_gpu_count": 2}
    group = {"hosts": {guest.name: None}, "vars": {**gpus, **variables}}
    path.write_text(json.dumps({"all": {"children": {"baremetal": group}}}))
    return path
