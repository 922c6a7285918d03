"""Provisions a lab in a process of its own, so that a test can interrupt or kill it.

Prints an event per line; exits as `vdl provision` does.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pydantic import SecretStr

from provision.apply.events import Event, line
from provision.apply.interrupt import StopRequest, stop_on_signals
from provision.apply.making import settled_snapshot
from provision.apply.runner import Options, apply
from provision.errors import Interrupted
from provision.plan.planner import plan
from provision.spec.model import Lab
from provision.vsphere.settings import ConnectionSettings
from provision.vsphere.vcenter import VCenter


def tell(event: Event) -> None:
    """Print the event at once: the test waits for it."""
    sys.stdout.write(line(event) + "\n")
    sys.stdout.flush()


def main(server: str, ca_file: str, username: str, spec: str) -> int:
    """Plan, apply, and return the exit code."""
    lab = Lab.model_validate_json(Path(spec).read_text(encoding="utf-8"))
    password = SecretStr(os.environ["TEST_PASSWORD"])
    settings = ConnectionSettings(server, username, password, ca_file=Path(ca_file))
    with VCenter(settings) as vcenter, stop_on_signals(StopRequest()) as stop:
        today = plan(lab, settled_snapshot(lab, vcenter, sys.stderr.write))
        options = Options(on_event=tell, stop=stop)
        result = apply(today, vcenter, lab=lab, replan=plan, options=options)
    for machine in result.machines:
        sys.stdout.write(f"{machine.machine} {machine.outcome} at {machine.step}\n")
    error = result.error()
    if error is None:
        return 0
    return 130 if isinstance(error, Interrupted) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
