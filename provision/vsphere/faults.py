"""vCenter's faults in words that name the object and the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyVmomi import vim, vmodl

# Deepest chain of causes that is worth showing.
DEEPEST = 4


def fault_name(fault: Any) -> str:
    """Return the name of a fault's type without its package, such as `NoDiskSpace`."""
    return type(fault).__name__.rpartition(".")[2]


def describe(fault: Any) -> str:
    """Return a fault in one line: its name, vCenter's own words, and what it carries."""
    parts = [text for text in (_words(fault), *_details(fault)) if text]
    text = f"{fault_name(fault)}: {'; '.join(dict.fromkeys(parts))}" if parts else fault_name(fault)
    causes = [text]
    cause = getattr(fault, "faultCause", None)
    while cause is not None and len(causes) < DEEPEST:
        causes.append(f"{fault_name(cause)}: {_words(cause)}".rstrip(": "))
        cause = getattr(cause, "faultCause", None)
    return ", because of ".join(causes)


def fix_for(fault: Any) -> str:
    """Return what to do about a fault."""
    for kind, fix in FIXES:
        if isinstance(fault, kind):
            return fix
    return "see the task in vCenter's event log; when the cause is gone, run the same command again"


FIXES: tuple[tuple[Any, str], ...] = (
    (vim.fault.NoPermission, "give the user a role with these privileges, then run again"),
    (vim.fault.NoDiskSpace, "free space on the datastore, or name another one in the lab file"),
    (
        vim.fault.InsufficientGraphicsResourcesFault,
        "see what is free by `vdl gpus`, then run again",
    ),
    (vim.fault.InsufficientResourcesFault, "free memory or CPU on the host, then run again"),
    (vim.fault.DuplicateName, "remove or rename what has the name, or give the lab another name"),
    (vim.fault.InvalidPowerState, "another user changed the VM's power state: run again"),
    (vmodl.fault.HostNotConnected, "bring the host back, or let vdl place the VM elsewhere"),
)


def _words(fault: Any) -> str:
    """Return the localized message and the messages behind it, without repetition."""
    texts = [fault.msg or ""]
    texts += [entry.message or "" for entry in getattr(fault, "faultMessage", None) or ()]
    texts.append(getattr(fault, "reason", None) or "")
    cleaned = [" ".join(str(text).split()).rstrip(".") for text in texts]
    return "; ".join(dict.fromkeys(text for text in cleaned if text))


def _details(fault: Any) -> list[str]:
    """Return what a fault says in fields of its own."""
    for kind, details in DETAILS:
        if isinstance(fault, kind):
            return details(fault)
    return []


def _permission(fault: Any) -> list[str]:
    missing = [fault.privilegeId] if fault.privilegeId else []
    for entry in getattr(fault, "missingPrivileges", None) or ():
        missing += entry.privilegeIds or ()
    where = f" on {fault.object._moId}" if fault.object is not None else ""  # noqa: SLF001 - pyVmomi's id
    return [f"missing {', '.join(dict.fromkeys(missing))}{where}"] if missing else []


def _argument(fault: Any) -> list[str]:
    return [f"property {fault.invalidProperty}"] if fault.invalidProperty else []


DETAILS: tuple[tuple[Any, Callable[[Any], list[str]]], ...] = (
    (vim.fault.NoPermission, _permission),
    (vim.fault.NoDiskSpace, lambda fault: [f"datastore {fault.datastore}"]),
    (vim.fault.DuplicateName, lambda fault: [f"the name {fault.name}"]),
    (vim.fault.InvalidPowerState, lambda fault: [f"the VM is {fault.existingState}"]),
    (vmodl.fault.InvalidArgument, _argument),
)
