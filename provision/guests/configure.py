"""Brings the guests of a lab to the point where the payload can run, and runs it there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from provision.apply.interrupt import StopRequest
from provision.deadline import Deadline
from provision.guests.baremetal import NO_BARE_METAL, BareMetal
from provision.guests.events import HostResult, PlaybookResult
from provision.guests.firstuse import FirstUse
from provision.guests.hostkeys import learn_host_keys, read_memory
from provision.guests.inventory import Inventory, inventory_of
from provision.guests.keys import keys_of
from provision.guests.machines import guests_of
from provision.guests.playbook import OnEvent, PlaybookRun, run_playbook
from provision.guests.resources import payload_folder, playbook
from provision.guests.runs import Failures, RunKind, new_log
from provision.guests.variables import lab_variables
from provision.plan.snapshot import Host, Vm
from provision.spec.model import Lab

KNOWN_HOSTS = "known_hosts"
PLAYBOOKS = {RunKind.CONFIGURE: "site.yml", RunKind.BENCH: "benchmark.yml"}


def state_folder(lab_file: Path, lab: Lab) -> Path:
    """Return where known hosts and logs of a lab are kept: `.vdl/LAB` beside its file."""
    return lab_file.absolute().parent / ".vdl" / lab.lab


@dataclass(frozen=True, slots=True)
class Settings:
    """How guests are worked on.

    Attributes:
        state: Folder of this lab, for known hosts and logs; made where it is missing.
        payload_python: A Python in the lab's machines that has TensorFlow; None to make one there.
        tags: Run only these parts: `base`, `driver`, `licence`, `nvlink`, `payload`, `verify`,
            `benchmark`.
        limit: Work only on these machines.
        check: Change nothing, tell what would change.
        diff: Write to the log how files differ.
        forks: Machines at a time.
        variables: More variables of the roles.
    """

    state: Path
    payload_python: str | None = None
    tags: tuple[str, ...] = ()
    limit: tuple[str, ...] = ()
    check: bool = False
    diff: bool = False
    forks: int | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Guests:
    """The guests of a lab, ready to be worked on, and machines from elsewhere beside them.

    `left_out` has the reason for each machine that can't be logged in to; `renewed` are machines
    whose host keys are new because their VM was made anew; `accepted` has the keys that were
    asked for over the network.
    """

    lab: Lab
    inventory: Inventory
    known_hosts: Path
    left_out: Mapping[str, str]
    simulated: bool = False
    renewed: tuple[str, ...] = ()
    accepted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bare_metal: BareMetal = NO_BARE_METAL

    @property
    def machines(self) -> dict[str, Mapping[str, Any]]:
        """The variables of each machine that can be worked on, by name."""
        return {**self.inventory["_meta"]["hostvars"], **self.bare_metal.machines}


def reach_guests(
    lab: Lab,
    vms: Iterable[Vm],
    state: Path,
    *,
    hosts: Iterable[Host] = (),
    simulated: bool = False,
    first_use: FirstUse | None = None,
) -> Guests:
    """Learn the host keys of the lab's VMs and make their inventory.

    Nothing is contacted, but machines of which no key is known where `first_use` agrees to it.
    `simulated` is `Snapshot.vcenter.simulated`; `hosts` are the snapshot's.

    Raises:
        HostKeyChanged: A guest publishes another host key than it did before.
        VdlError: vCenter gives a name that can't go into an inventory.
    """
    found, left_out = guests_of(lab.lab, vms, simulated=simulated)
    known_hosts = state / KNOWN_HOSTS
    known = keys_of(found, read_memory(known_hosts), first_use)
    renewed = learn_host_keys(known_hosts, known.keys.values())
    inventory = inventory_of(
        lab.lab, (guest for guest in found if guest.name in known.keys), lab,
        hosts=hosts, simulated=simulated,
        shared=lab_variables(lab, known_hosts),
    )  # fmt: skip
    left_out |= known.left_out
    return Guests(lab, inventory, known_hosts, left_out, simulated, renewed, known.accepted)


def configure(
    guests: Guests,
    settings: Settings,
    *,
    on_event: OnEvent = lambda _: None,
    deadline: Deadline | None = None,
    stop: StopRequest | None = None,
) -> PlaybookResult:
    """Run `site.yml`: a result per machine, those that can't be logged in to among them.

    Raises:
        PlaybookFailed: ansible-playbook ended without having run anything.
        UsageError: `settings.limit` names a machine that there is not.
    """
    return _run(RunKind.CONFIGURE, guests, settings, {}, Watch(on_event, deadline, stop))


def measure(
    guests: Guests,
    settings: Settings,
    runs: Iterable[Mapping[str, Any]],
    results: Path,
    *,
    jobs: Iterable[Mapping[str, Any]] = (),
    on_event: OnEvent = lambda _: None,
    deadline: Deadline | None = None,
    stop: StopRequest | None = None,
) -> PlaybookResult:
    """Run `benchmark.yml`; documents go to `results/MACHINE/NAME.json`, the gate to `gate.json`.

    Each of `runs` has `name`, `model`, `batch_size`, `precision`, `data` and, where wanted,
    `arguments`. Each of `jobs` has them too, and `group`, `workers` (names of machines) and
    `alone`, the name of the run that it is held against; its documents go to
    `results/together/GROUP/NAME/`. `data["vdl_runs"]` of a host result has the exit code of each.

    Raises:
        PlaybookFailed: ansible-playbook ended without having run anything.
        UsageError: `settings.limit` names a machine that there is not.
    """
    variables = {
        "benchmark_runs": [dict(run) for run in runs],
        "benchmark_jobs": [dict(job) for job in jobs],
        "results_dir": str(results.absolute()),
    }
    return _run(RunKind.BENCH, guests, settings, variables, Watch(on_event, deadline, stop))


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told of events, and what may end a run early."""

    on_event: OnEvent
    deadline: Deadline | None
    stop: StopRequest | None


def _run(
    kind: RunKind,
    guests: Guests,
    settings: Settings,
    variables: Mapping[str, Any],
    watch: Watch,
) -> PlaybookResult:
    missed = {
        machine: HostResult(machine, message=reason, unreachable=True)
        for machine, reason in guests.left_out.items()
        if not settings.limit or machine in settings.limit
    }
    limit = tuple(name for name in settings.limit if name not in missed)
    result = PlaybookResult({})
    if limit or not settings.limit:
        run = PlaybookRun(
            playbook(PLAYBOOKS[kind]),
            _inventory(guests, settings),
            others=guests.bare_metal,
            extra_vars={"payload_source": str(payload_folder()), **settings.variables, **variables},
            tags=settings.tags,
            limit=limit,
            check=settings.check,
            diff=settings.diff,
            forks=settings.forks,
        )
        if run.machines:
            log = new_log(settings.state, kind, datetime.now(UTC))
            result = run_playbook(
                run, log, on_event=watch.on_event, deadline=watch.deadline, stop=watch.stop
            )
    result = replace(result, hosts={**result.hosts, **missed})
    if not settings.check:
        Failures.of(settings.state, kind).take_in(result, settings.tags)
    return result


def _inventory(guests: Guests, settings: Settings) -> Inventory:
    """Return the lab's inventory with what this run says of its machines."""
    if settings.payload_python is None:
        return guests.inventory
    # A variable of the machine itself: some have one of their own.
    given = {"payload_python": settings.payload_python}
    machines = guests.inventory["_meta"]["hostvars"].items()
    return {
        **guests.inventory,
        "_meta": {"hostvars": {name: {**own, **given} for name, own in machines}},
    }
