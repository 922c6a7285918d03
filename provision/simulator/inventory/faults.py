"""The faults that the inventory raises, with messages that name object and reason.

Which fault a vCenter uses for which refusal follows the vSphere Web Services API reference
(8.0U3) and, for power-on with GPUs, what it is known to answer:

- a vGPU that fits nowhere: `InsufficientGraphicsResourcesFault`, which the reference explains
  as failed admission control of graphics resources;
- missing memory reservation: `GenericVmConfigFault` with "Invalid memory setting: memory
  reservation (sched.mem.min) should be equal to memsize(N)." (widely reported since ESXi 6.5);
- MMIO space too small, or BIOS firmware with a large-BAR card: `GenericVmConfigFault` with
  "Module 'DevicePowerOn' power on failed." (Broadcom KB 323402, Dell KB 000199172);
- a pinned card that is not the one the VM was configured with: `GenericVmConfigFault` about
  systemId, deviceId and vendorId (reported by PowerCLI users since ESXi 6.0).
"""

from __future__ import annotations

from typing import Any

from pyVmomi import vim, vmodl

_KEY = "vdl.simulator.refused"


def refuse(kind: type[Any], message: str, **fields: Any) -> Any:
    """Return a fault whose localized message and fault message are both `message`."""
    localized = vmodl.LocalizableMessage(key=_KEY, message=message)
    return kind(msg=message, faultMessage=[localized], **fields)


def vm_config(message: str) -> Any:
    """Return the general fault for a VM that can't run as it is configured."""
    return refuse(vim.fault.GenericVmConfigFault, message, reason=message)


def invalid_argument(name: str, message: str) -> Any:
    """Return the fault for a parameter that makes no sense."""
    return refuse(vmodl.fault.InvalidArgument, message, invalidProperty=name)


def device_spec(index: int, message: str, kind: type[Any] = vim.fault.InvalidDeviceSpec) -> Any:
    """Return the fault for the device change with this index."""
    prop = f"virtualDeviceSpec[{index}]"
    return refuse(kind, message, property=prop, deviceIndex=index)


def power_state(existing: str, requested: str | None = None) -> Any:
    """Return the fault for an operation that the VM's power state does not allow."""
    return refuse(
        vim.fault.InvalidPowerState,
        f"The attempted operation cannot be performed in the current state ({existing}).",
        existingState=existing,
        requestedState=requested,
    )


def duplicate(name: str, ref: Any) -> Any:
    """Return the fault for a name that is taken in its folder."""
    return refuse(
        vim.fault.DuplicateName, f"The name '{name}' already exists.", name=name, object=ref
    )


def unsupported(message: str) -> Any:
    """Return the fault for something that this object can't do at all."""
    return refuse(vmodl.fault.NotSupported, message)


def text(fault: Any) -> str:
    """Return a fault's message."""
    return str(fault.msg)
