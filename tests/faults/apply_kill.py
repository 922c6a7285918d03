"""A process that is killed by SIGKILL exactly when the simulated vCenter gets a certain call."""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pyVmomi import VmomiSupport

from provision.apply.destroy import destroy, destroy_plan
from provision.apply.journal import Journal
from provision.apply.runner import Options, apply
from provision.plan.planner import plan
from provision.simulator.engine.faultplan import NOTHING, Effects, FaultPlan
from provision.spec.model import Lab
from provision.vsphere.settings import ConnectionSettings
from provision.vsphere.vcenter import VCenter
from tests.faults.apply_site import Site, agreed

# Forked from a server that has everything imported already: a sweep needs many processes.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["provision.apply.runner", "provision.vsphere.vcenter"])

Work = Callable[[str, str, str, str, str], None]


class Moment(StrEnum):
    """When the process dies."""

    BEFORE = "before"  # its call reaches nobody
    DURING = "during"  # its call is carried out, and nobody hears what came of it


def changes_something(method: str) -> bool:
    """Whether a method changes more than the session that calls it.

    vSphere names a privilege of `System` for what only reads. It names none for calls whose
    privileges depend on their arguments; of those, only view changes belong to the session.
    """
    if method in {"Fetch", "ModifyListView"}:
        return False
    info = VmomiSupport.GetWsdlMethod("urn:vim25", method).info
    return not (info.privId or "").startswith("System.")


def mutating_calls(site: Site) -> Counter[str]:
    """Return how often each method that changes something has been called."""
    calls = site.simulator.world.calls
    return Counter({name: count for name, count in calls.items() if changes_something(name)})


class Killer(FaultPlan):
    """A fault plan with one fault: at the nth call of a method, its caller dies."""

    def __init__(self, method: str, nth: int, moment: Moment) -> None:
        super().__init__()
        self._method, self._left, self._moment = method, nth, moment
        self.victim: Any = None

    def meet(self, method: str) -> Effects:
        """Count the call; at the right one, return only when the process is gone."""
        if method != self._method or self._left == 0:
            return NOTHING
        self._left -= 1
        if self._left:
            return NOTHING
        self.victim.kill()
        wait([self.victim.sentinel])
        return Effects(outage=0.0) if self._moment is Moment.BEFORE else NOTHING


def run_killed(site: Site, work: Work, lab: Lab, killer: Killer) -> None:
    """Let a process of its own do `work`, and die of the killer."""
    settings = site.settings
    words = (settings.server, str(settings.ca_file), settings.username, site.password)
    process = PROCESSES.Process(target=work, args=(*words, lab.model_dump_json()))
    killer.victim = process
    process.start()
    world = site.simulator.world
    with world.lock:
        before, world.faults = world.faults, killer
    process.join()
    with world.lock:
        world.faults = before
    assert process.exitcode == -signal.SIGKILL, "it ended before the call came"


def _connect(server: str, ca_file: str, username: str, password: str) -> VCenter:
    settings = ConnectionSettings(server, username, SecretStr(password), ca_file=Path(ca_file))
    return VCenter(settings)


def provision_lab(server: str, ca_file: str, username: str, password: str, spec: str) -> None:
    """Plan and apply, as `vdl provision` does."""
    lab = Lab.model_validate_json(spec)
    with _connect(server, ca_file, username, password) as vcenter:
        today = agreed(lab, vcenter.snapshot(lab))
        apply(today, vcenter, lab=lab, replan=agreed, options=Options())


def journaled_lab(server: str, ca_file: str, username: str, password: str, spec: str) -> None:
    """Provision with a journal called `log`, beside the folder of the simulator."""
    lab = Lab.model_validate_json(spec)
    log = Path(ca_file).parents[2] / "log"
    with _connect(server, ca_file, username, password) as vcenter, Journal(log, lab.lab) as journal:
        today = plan(lab, vcenter.snapshot(lab))
        apply(today, vcenter, lab=lab, replan=plan, options=Options(journal=journal.write))


def destroy_lab(server: str, ca_file: str, username: str, password: str, spec: str) -> None:
    """Destroy, as `vdl destroy` does."""
    lab = Lab.model_validate_json(spec)
    with _connect(server, ca_file, username, password) as vcenter:
        destroy(lab.lab, destroy_plan(lab.lab, vcenter.snapshot(lab)), vcenter)
