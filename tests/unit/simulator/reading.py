"""What the property collector's answers say, in short."""

from __future__ import annotations

from typing import Any

from pyVmomi import vim

from tests.unit.simulator.small_world import Client, moid, view_spec


def values(content: Any) -> dict[str, Any]:
    """Return the properties of an object by path."""
    return {prop.name: prop.val for prop in content.propSet}


def enters(update: Any) -> list[tuple[str, str]]:
    """Return kind and id of each object of an update."""
    return [(o.kind, moid(o.obj)) for f in update.filterSet for o in f.objectSet]


def vm_view(client: Client, *paths: str) -> Any:
    """Return what reads these paths of all VMs."""
    return view_spec(client.view(vim.VirtualMachine), vim.VirtualMachine, *paths)
