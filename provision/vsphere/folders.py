"""The VM folder of a lab, made where it does not exist."""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import unquote

from pyVmomi import vim, vmodl

from provision.errors import VdlError
from provision.vsphere.collector import Collector
from provision.vsphere.faults import describe, fault_name, fix_for
from provision.vsphere.port import ActionFailed
from provision.vsphere.session import Session
from provision.vsphere.tls import ResponseLost


class Folders:
    """Finds folders and makes each at most once."""

    def __init__(self, session: Session, collector: Collector) -> None:
        self._session = session
        self._collector = collector
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Any] = {}

    def ensure(self, datacenter_id: str | None, path: str) -> Any:
        """Return the VM folder at a path such as `vdl` or `labs/vdl` of a datacenter.

        Raises:
            ActionFailed: vCenter refused to make it.
        """
        if datacenter_id is None:
            raise VdlError("the lab's datacenter does not exist")
        with self._lock:
            key = (datacenter_id, path)
            if key not in self._known:
                self._known[key] = self._walk(datacenter_id, path)
            return self._known[key]

    def _walk(self, datacenter_id: str, path: str) -> Any:
        datacenter = self._session.ref(vim.Datacenter, datacenter_id)
        found = self._collector.one(datacenter, ["vmFolder"])
        if found is None:
            raise ActionFailed("the datacenter no longer exists", subject=datacenter_id)
        folder = found.get("vmFolder")
        for name in filter(None, path.split("/")):
            folder = self._inside(folder, name) or self._make(folder, name)
        return folder

    def _inside(self, folder: Any, name: str) -> Any | None:
        found = self._collector.one(folder, ["childEntity"])
        children = found.get("childEntity", ()) if found else ()
        folders = [child for child in children if isinstance(child, vim.Folder)]
        named = self._collector.of(folders, {vim.Folder: ["name"]})
        return next((one.ref for one in named if unquote(one.get("name")) == name), None)

    def _make(self, folder: Any, name: str) -> Any:
        try:
            return folder.CreateFolder(name)
        except vim.fault.DuplicateName as fault:
            # Another run of vdl was faster, or a VM has the name.
            made = self._inside(folder, name)
            if made is None:
                raise _refused(name, fault) from fault
            return made
        except ResponseLost as error:
            made = self._inside(folder, name)
            if made is None:
                raise ActionFailed(
                    "whether the VM folder was made is not known",
                    subject=name,
                    why=str(error),
                    fix="run the same command again",
                ) from error
            return made
        except vmodl.MethodFault as fault:
            raise _refused(name, fault) from fault


def _refused(name: str, fault: Any) -> ActionFailed:
    return ActionFailed(
        "the VM folder could not be made",
        subject=name,
        why=describe(fault),
        fix=fix_for(fault),
        fault=fault_name(fault),
    )
