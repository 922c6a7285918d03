"""What a user needs on a vCenter, and what of it is missing.

Names are those of the vSphere API (`AuthorizationManager.privilegeList`); which call needs
which is in the vSphere Web Services API reference under each method.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyVmomi import vmodl

from provision.vsphere.collector import moid
from provision.vsphere.session import Session

# By the object on which they are needed.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "folder": (
        "Folder.Create",
        "VirtualMachine.Config.AddRemoveDevice",
        "VirtualMachine.Config.AdvancedConfig",
        "VirtualMachine.Config.Annotation",
        "VirtualMachine.Config.CPUCount",
        "VirtualMachine.Config.DiskExtend",
        "VirtualMachine.Config.EditDevice",
        "VirtualMachine.Config.Memory",
        "VirtualMachine.Config.Resource",
        "VirtualMachine.Config.Settings",
        "VirtualMachine.Config.UpgradeVirtualHardware",
        "VirtualMachine.Interact.PowerOff",
        "VirtualMachine.Interact.PowerOn",
        "VirtualMachine.Inventory.CreateFromExisting",
        "VirtualMachine.Inventory.Delete",
        "VirtualMachine.Provisioning.DeployTemplate",
    ),
    "pool": ("Resource.AssignVMToPool",),
    "datastore": ("Datastore.AllocateSpace",),
    "network": ("Network.Assign",),
    # For `vdl host prepare` alone.
    "host": ("Host.Config.Maintenance", "Host.Config.PciPassthru", "Host.Config.Settings"),
    "vCenter": ("Global.ManageCustomFields", "Global.SetCustomField"),
}


def missing(session: Session, places: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the privileges that the session's user lacks, as `PRIVILEGE on KIND`; one call.

    Args:
        session: The session whose user is asked about.
        places: The object of each kind of `NEEDED`; a kind without an object is not asked about.
    """
    wanted = sorted({name for kind in places for name in NEEDED[kind]})
    if not wanted:
        return ()
    manager = session.content.authorizationManager
    try:
        answers = manager.HasPrivilegeOnEntities(list(places.values()), session.key, wanted)
    except vmodl.fault.NotSupported:
        return ()  # An aggregate or a simulator without authorisation: the calls will tell.
    held = {
        (moid(answer.entity), entry.privId)
        for answer in answers
        for entry in answer.privAvailability
        if entry.isGranted
    }
    return tuple(
        f"{name} on {kind}"
        for kind, place in places.items()
        for name in NEEDED[kind]
        if (moid(place), name) not in held
    )
