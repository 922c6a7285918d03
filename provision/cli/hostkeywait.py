"""Waits until new guests have published their SSH host keys, which cloud-init does last."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from provision.cli.output import say
from provision.deadline import Deadline
from provision.guests.configure import KNOWN_HOSTS
from provision.guests.hostkeys import read_memory
from provision.guests.keys import keyless
from provision.guests.machines import guests_of
from provision.plan.snapshot import Snapshot
from provision.spec.model import Lab

if TYPE_CHECKING:
    from provision.vsphere.vcenter import VCenter

# VMware Tools report an address early in a boot; the keys follow when cloud-init is done.
PATIENCE_SECONDS = 300.0
# Who agrees to ask machines for their keys means those that will never publish any.
PATIENCE_BEFORE_ASKING_SECONDS = 60.0
PAUSE_SECONDS = 2.0


def snapshot_with_keys(
    vcenter: VCenter, lab: Lab, state: Path, deadlines: Iterable[Deadline | None]
) -> Snapshot:
    """Read where the guests are, again and again until no key is missing or a deadline passes."""
    ends = [deadline for deadline in deadlines if deadline is not None]
    told: tuple[str, ...] = ()
    while True:
        snapshot = vcenter.snapshot(lab)
        missing = _missing(snapshot, lab, state)
        if not missing or any(end.passed for end in ends):
            return snapshot
        if missing != told:
            left = min(end.left for end in ends)
            say(f"waiting for the SSH host keys of {', '.join(missing)}, up to {left:.0f} s")
            told = missing
        time.sleep(PAUSE_SECONDS)


def _missing(snapshot: Snapshot, lab: Lab, state: Path) -> tuple[str, ...]:
    guests, _ = guests_of(lab.lab, snapshot.vms, simulated=snapshot.vcenter.simulated)
    return keyless(guests, read_memory(state / KNOWN_HOSTS))
