"""The note that vdl leaves on a host while it prepares it: a custom attribute in vCenter.

Anybody who looks at the host in the vSphere Client sees it. It tells a host that vdl put into
maintenance mode from one that an administrator did, and remembers a reboot that no other
property of the host shows to be pending.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any

from pyVmomi import vim

from provision.deadline import Deadline
from provision.vsphere.calls import SETTLE_SECONDS
from provision.vsphere.collector import Collector
from provision.vsphere.host_port import Claim
from provision.vsphere.retry import pauses
from provision.vsphere.tls import ResponseLost

FIELD = "vdl.host-prepare"
_PART = re.compile(r"(maintenance|booted)=(\S+)")


def text_of(claim: Claim) -> str:
    """Return a claim as the attribute's value; empty where there is nothing to claim."""
    moments = {"maintenance": claim.maintenance, "booted": claim.booted}
    return " ".join(f"{key}={at.isoformat()}" for key, at in moments.items() if at is not None)


def claim_of(text: str) -> Claim:
    """Return the claim that a value stands for; what vdl did not write claims nothing."""
    moments: dict[str, datetime] = {}
    for key, value in _PART.findall(text):
        with suppress(ValueError):
            at = datetime.fromisoformat(value)
            if at.tzinfo is not None:
                moments[key] = at
    return Claim(moments.get("maintenance"), moments.get("booted"))


def field_key(content: Any, collector: Collector) -> int | None:
    """Return the key of the custom attribute; None where vCenter has none yet."""
    found = collector.one(content.customFieldsManager, ["field"])
    fields = found.get("field", ()) if found else ()
    return next((int(one.key) for one in fields if one.name == FIELD), None)


def make_field(content: Any, collector: Collector) -> int:
    """Return the key of the custom attribute, which is made where there is none."""
    key = field_key(content, collector)
    if key is not None:
        return key
    try:
        manager = content.customFieldsManager
        return int(manager.AddCustomFieldDef(name=FIELD, moType=vim.HostSystem).key)
    except (vim.fault.DuplicateName, ResponseLost):
        # Another vdl was faster, or the answer was lost. Names are unique: looking tells.
        settled, waits = Deadline.after(SETTLE_SECONDS), pauses()
        while (again := field_key(content, collector)) is None and not settled.passed:
            time.sleep(min(next(waits), settled.left))
        if again is None:
            raise
        return again


def value_of(values: Iterable[Any], key: int | None) -> str:
    """Return the attribute's value among the custom values of a host."""
    return next((str(one.value) for one in values if one.key == key), "")
