"""From options to a lab and a vCenter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import SecretStr

from provision.cli.credentials import read_password
from provision.cli.options import VCenterOptions
from provision.errors import UsageError
from provision.spec.model import Lab
from provision.vsphere.settings import ConnectionSettings

if TYPE_CHECKING:
    from provision.vsphere.vcenter import VCenter


def settings_of(lab: Lab, options: VCenterOptions) -> ConnectionSettings:
    """Return how to reach the vCenter: the option first, then the lab file.

    Raises:
        UsageError: The server, the user or the password is nowhere to be found.
    """
    return settings_at(
        options.server or lab.vcenter.server,
        options,
        "use --server or VDL_SERVER, or write vcenter.server in the lab file",
    )


def settings_at(server: str | None, options: VCenterOptions, fix: str) -> ConnectionSettings:
    """Return how to reach a vCenter; `fix` says how to name one where none is.

    Raises:
        UsageError: The server, the user or the password is nowhere to be found.
    """
    if server is None:
        raise UsageError("no vCenter is named", fix=fix)
    if options.username is None:
        raise UsageError(f"no user is named for {server}", fix="use --username or VDL_USERNAME")
    password = read_password(server, options.username, options.password_file)
    return ConnectionSettings(
        server=server,
        username=options.username,
        password=SecretStr(password),
        ca_file=options.ca_file,
        thumbprint=options.thumbprint,
    )


@contextmanager
def vcenter_of(lab: Lab, options: VCenterOptions) -> Iterator[VCenter]:
    """Log in to the lab's vCenter for as long as the block runs."""
    # pyVmomi takes a third of a second to import: not for commands that never connect.
    from provision.vsphere.vcenter import VCenter  # noqa: PLC0415

    with VCenter(settings_of(lab, options)) as vcenter:
        yield vcenter
