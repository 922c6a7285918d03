"""Waits until new guests have published their SSH host keys, which cloud-init does last."""

from __future__ import annotations

import time
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

# VMware Tools report an address early in a boot; the keys follow when cloud-init is done. So much
# time each machine has from its power-on.
PATIENCE_SECONDS = 300.0
# Who agrees to ask machines for their keys means those that will never publish any.
PATIENCE_BEFORE_ASKING_SECONDS = 60.0
PAUSE_SECONDS = 2.0
HINT = (
    "cloud-init publishes them at the end of a boot; if your template can't publish any, use "
    "--accept-new-host-keys once, and they are known from then on"
)


def snapshot_with_keys(
    vcenter: VCenter, lab: Lab, state: Path, deadline: Deadline | None, *, asking: bool
) -> Snapshot:
    """Read where the guests are, again and again while keys are missing that may still come.

    A machine that has been on for longer than the patience would not publish any later either.

    Args:
        vcenter: Where to read.
        lab: Whose guests.
        state: Folder with the keys that are known.
        deadline: When to give up, whatever is missing.
        asking: Whether machines without keys are asked for them afterwards.
    """
    seconds = PATIENCE_BEFORE_ASKING_SECONDS if asking else PATIENCE_SECONDS
    ends = [end for end in (Deadline.after(seconds), deadline) if end is not None]
    told: tuple[str, ...] = ()
    while True:
        snapshot = vcenter.snapshot(lab)
        late = {name: seconds - (up or 0) for name, up in _missing(snapshot, lab, state).items()}
        awaited = tuple(name for name, left in late.items() if left > 0)
        if not awaited or any(end.passed for end in ends):
            return snapshot
        if awaited != told:
            left = min(max(late.values()), *(end.left for end in ends))
            say(f"waiting for the SSH host keys of {', '.join(awaited)}, up to {left:.0f} s")
            if not (asking or told):
                say(HINT)
            told = awaited
        time.sleep(PAUSE_SECONDS)


def _missing(snapshot: Snapshot, lab: Lab, state: Path) -> dict[str, int | None]:
    """Return the machines without a key, each with the seconds that it has been on."""
    guests, _ = guests_of(lab.lab, snapshot.vms, simulated=snapshot.vcenter.simulated)
    mute = keyless(guests, read_memory(state / KNOWN_HOSTS))
    return {guest.name: guest.vm.uptime for guest in guests if guest.name in mute}
