"""A stock pyVmomi client: what a vCenter holds, as somebody else than vdl sees it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim

from tests.e2e.site import Site
from tests.faults.apply_site import wait_for_task


@contextmanager
def administrator(site: Site) -> Iterator[Any]:
    """Log in to the vCenter of a site; give the service's content."""
    host, _, port = site.door["server"].rpartition(":")
    instance = SmartConnect(
        host=host, port=int(port), user=site.door["username"],
        pwd=Path(site.door["password_file"]).read_text(encoding="utf-8"),
        sslContext=ssl.create_default_context(cafile=site.door["ca_file"]),
    )  # fmt: skip
    try:
        yield instance.RetrieveContent()
    finally:
        Disconnect(instance)


def vms(content: Any) -> dict[str, Any]:
    """Return all VMs and templates by name; a name that is there twice is an error."""
    view = content.viewManager.CreateContainerView(
        content.rootFolder, [vim.VirtualMachine], recursive=True
    )
    named = [(vm.name, vm) for vm in view.view]
    view.Destroy()
    assert len({name for name, _ in named}) == len(named)
    return dict(named)


def vm_names(site: Site) -> list[str]:
    """Return the names of all VMs and templates, sorted."""
    with administrator(site) as content:
        return sorted(vms(content))


def rename(site: Site, old: str, new: str) -> None:
    """Give a VM another name, as an administrator does by hand."""
    with administrator(site) as content:
        wait_for_task(vms(content)[old].Rename_Task(new))
