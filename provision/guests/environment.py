"""What Ansible's programs run with: vdl's own settings, nothing of the user's, and no secret."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from provision.errors import UsageError
from provision.guests.ssh import ssh_options

HERE = Path(__file__).resolve().parent

# What Ansible and ssh need of vdl's own environment. Nothing of VDL_* or ANSIBLE_* passes: the
# first may hold a password, the second would change what a run does.
PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "SSH_AUTH_SOCK")


def environment(folder: Path) -> dict[str, str]:
    """Return the whole environment of one of Ansible's programs, which gets a folder to itself."""
    return {
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        "LC_ALL": "C.UTF-8",  # Ansible refuses to start in any other encoding
        "PYTHONUTF8": "1",
        "ANSIBLE_CONFIG": str(HERE / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        # A socket's path may have 104 characters (macOS), so the folder has a short name.
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "cp"),
        # For machines that bring no options of their own: the lab's have theirs as variables.
        "ANSIBLE_SSH_COMMON_ARGS": shlex.join(ssh_options()),
    }


def ansible_program(name: str) -> str:
    """Return one of Ansible's programs beside vdl's own Python; others on PATH may be of any age.

    Raises:
        UsageError: It is not there.
    """
    # Not resolved: in a virtual environment, python is a link to somewhere else.
    path = Path(sys.executable).parent / name
    if path.exists():
        return str(path)
    raise UsageError(f"{name} is missing", subject=str(path), fix="install ansible-core beside vdl")
