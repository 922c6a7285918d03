"""Who a VM belongs to: the instance UUID it is cloned with and the stamps it carries."""

from __future__ import annotations

import json
import uuid

from provision.plan.snapshot import STAMP_LAB, STAMP_MACHINE, STAMP_RESOLVED, STAMP_SPEC
from provision.spec.model import Machine

# Any constant will do, as long as it never changes: every VM made so far is found through it.
NAMESPACE = uuid.UUID("6f0c5ad8-6e0b-5d2c-9b62-3a1d54d3a7e1")


def instance_uuid(vcenter_uuid: str, lab: str, machine: str) -> str:
    """Return the instance UUID of a machine: the same for everyone who applies the same lab.

    Args:
        vcenter_uuid: `AboutInfo.instanceUuid` of the vCenter.
        lab: Name of the lab.
        machine: Name of the VM as the spec gives it (`Machine.name`).
    """
    return str(uuid.uuid5(NAMESPACE, f"{vcenter_uuid}/{lab}/{machine}"))


def stamps(machine: Machine) -> dict[str, str]:
    """Return the `extraConfig` entries that say whose VM this is and what it was made from.

    `vdl.resolved` holds the resolved machine itself, so that a later plan can say which field
    of the spec has changed and not only that the digest differs. It holds no secret: the spec
    has none, it names files.
    """
    resolved = json.dumps(machine.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return {
        STAMP_LAB: machine.lab,
        STAMP_MACHINE: machine.name,
        STAMP_SPEC: machine.digest,
        STAMP_RESOLVED: resolved,
    }
