"""Who a VM is: the one instance UUID that a machine of a lab has in a vCenter."""

from __future__ import annotations

import uuid

# Any constant will do, as long as it never changes: every VM made so far is found through it.
NAMESPACE = uuid.UUID("6f0c5ad8-6e0b-5d2c-9b62-3a1d54d3a7e1")


def instance_uuid(vcenter_uuid: str, lab: str, machine: str) -> str:
    """Return the instance UUID of a machine: the same for everyone who applies the same lab."""
    return str(uuid.uuid5(NAMESPACE, f"{vcenter_uuid}/{lab}/{machine}"))
