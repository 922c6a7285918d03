"""Who logs in to vCenter: from files, the environment, the keyring or a prompt; never arguments."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from provision.errors import UsageError

KEYRING_SERVICE = "vdl"


def read_password(server: str, username: str, password_file: Path | None) -> str:
    """Return the password from the first place that has one.

    The order: `--password-file` or VDL_PASSWORD_FILE, VDL_PASSWORD, the system's keyring
    (service `vdl`, user `USERNAME@SERVER`), a prompt where there is a terminal.

    Raises:
        UsageError: The file can't be read or is empty, or there is no password anywhere.
    """
    if password_file is not None:
        return _from_file(password_file)
    if password := os.environ.get("VDL_PASSWORD"):
        return password
    if password := _from_keyring(f"{username}@{server}"):
        return password
    if sys.stdin.isatty():
        prompted: str = click.prompt(
            f"Password of {username} on {server}", hide_input=True, err=True
        )
        return prompted
    raise UsageError(
        f"there is no password for {username} on {server}",
        fix="use --password-file, VDL_PASSWORD_FILE, VDL_PASSWORD, the keyring, or a terminal",
    )


def _from_file(path: Path) -> str:
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "the password file can't be read", subject=str(path), why=str(error),
            fix="name a text file that holds the password and nothing else",
        ) from None  # fmt: skip
    if not password:
        raise UsageError(
            "the password file is empty", subject=str(path), fix="write the password into it"
        )
    return password


def _from_keyring(account: str) -> str | None:
    # Imported late: finding a keyring backend takes a while and may talk to a desktop service.
    import keyring  # noqa: PLC0415
    from keyring.errors import KeyringError  # noqa: PLC0415

    try:
        return keyring.get_password(KEYRING_SERVICE, account)
    except KeyringError:
        return None  # no keyring on this machine is no error: the prompt comes next
