"""Brings the guests of a lab to the point where the payload can run, and runs it there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from provision.deadline import Deadline
from provision.errors import SpecError
from provision.guests.events import HostResult, PlaybookResult
from provision.guests.hostkeys import (
    GuestKeys,
    Remembered,
    learn_host_keys,
    parse_host_keys,
    read_memory,
)
from provision.guests.inventory import Inventory, inventory_of
from provision.guests.machines import Guest, guests_of
from provision.guests.playbook import OnEvent, PlaybookRun, run_playbook
from provision.guests.resources import payload_folder, playbook
from provision.guests.variables import lab_variables
from provision.plan.snapshot import Host, Vm
from provision.spec.model import Lab

KNOWN_HOSTS = "known_hosts"
SITE = "site.yml"
BENCHMARK = "benchmark.yml"


def state_folder(lab_file: Path, lab: Lab) -> Path:
    """Return where known hosts and logs of a lab are kept: `.vdl/LAB` beside its file."""
    return lab_file.absolute().parent / ".vdl" / lab.lab


@dataclass(frozen=True, slots=True)
class Settings:
    """How guests are worked on.

    Attributes:
        state: Folder of this lab, for known hosts and logs; made where it is missing.
        payload_python: A Python in the guests that has TensorFlow; None to make one there.
        tags: Run only these parts: `base`, `driver`, `licence`, `nvlink`, `payload`, `verify`,
            `benchmark`.
        limit: Work only on these machines.
        check: Change nothing, tell what would change.
        forks: Machines at a time.
        variables: More variables of the roles.
    """

    state: Path
    payload_python: str | None = None
    tags: tuple[str, ...] = ()
    limit: tuple[str, ...] = ()
    check: bool = False
    forks: int | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Guests:
    """The guests of a lab, ready to be worked on.

    `left_out` has the reason for each machine that can't be logged in to; `renewed` are machines
    whose host keys are new because their VM was made anew.
    """

    lab: Lab
    inventory: Inventory
    known_hosts: Path
    left_out: Mapping[str, str]
    simulated: bool = False
    renewed: tuple[str, ...] = ()


def reach_guests(
    lab: Lab,
    vms: Iterable[Vm],
    state: Path,
    *,
    hosts: Iterable[Host] = (),
    simulated: bool = False,
) -> Guests:
    """Learn the host keys of the lab's VMs and make their inventory. Nothing is contacted.

    `simulated` is `Snapshot.vcenter.simulated`; `hosts` are the snapshot's.

    Raises:
        HostKeyChanged: A guest publishes another host key than it did before.
        VdlError: vCenter gives a name that can't go into an inventory.
    """
    found, left_out = guests_of(lab.lab, vms, simulated=simulated)
    known_hosts = state / KNOWN_HOSTS
    remembered = read_memory(known_hosts)
    guests: list[Guest] = []
    learned: list[GuestKeys] = []
    for guest in found:
        try:
            learned.append(_keys(guest, remembered))
        except SpecError as error:
            left_out[guest.name] = error.text()
        else:
            guests.append(guest)
    renewed = learn_host_keys(known_hosts, learned)
    inventory = inventory_of(
        lab.lab, guests, lab, hosts=hosts, simulated=simulated,
        shared=lab_variables(lab, known_hosts, simulated=simulated),
    )  # fmt: skip
    return Guests(lab, inventory, known_hosts, left_out, simulated, renewed)


def _keys(guest: Guest, memory: Mapping[str, Remembered]) -> GuestKeys:
    """Return the keys that a guest publishes, or those that the same VM published earlier."""
    uuid, vm_id = guest.vm.instance_uuid, guest.vm.id
    keys = parse_host_keys(guest.host_keys)
    if not keys and uuid in memory and memory[uuid].vm_id == vm_id:
        keys = memory[uuid].keys
    if not keys:
        raise SpecError(
            "the guest publishes no SSH host key",
            why="guestinfo.vdl.hostkeys is empty, so nothing proves that the right guest answers",
            fix="boot it with vdl's own cloud-init data, or publish the key with vmware-rpctool",
        )
    return GuestKeys(guest.name, uuid, vm_id, guest.address, guest.port, keys)


def configure(
    guests: Guests,
    settings: Settings,
    *,
    on_event: OnEvent = lambda _: None,
    deadline: Deadline | None = None,
) -> PlaybookResult:
    """Run `site.yml`: a result per machine, those that can't be logged in to among them.

    Raises:
        PlaybookFailed: ansible-playbook ended without having run anything.
        UsageError: `settings.limit` names a machine that can't be logged in to.
    """
    return _run(SITE, guests, settings, {}, on_event, deadline)


def measure(
    guests: Guests,
    settings: Settings,
    runs: Iterable[Mapping[str, Any]],
    results: Path,
    *,
    one_by_one: bool = True,
    on_event: OnEvent = lambda _: None,
    deadline: Deadline | None = None,
) -> PlaybookResult:
    """Run `benchmark.yml`; documents go to `results/MACHINE/NAME.json`, the gate to `gate.json`.

    Each of `runs` has `name`, `model`, `batch_size`, `precision`, `data` and, where wanted,
    `arguments`. `data["vdl_runs"]` of a host result has the exit code of each run.

    Raises:
        PlaybookFailed: ansible-playbook ended without having run anything.
        UsageError: `settings.limit` names a machine that can't be logged in to.
    """
    variables = {
        "benchmark_runs": [dict(run) for run in runs],
        "benchmark_one_by_one": one_by_one,
        "results_dir": str(results.absolute()),
    }
    return _run(BENCHMARK, guests, settings, variables, on_event, deadline)


def _run(
    name: str,
    guests: Guests,
    settings: Settings,
    variables: Mapping[str, Any],
    on_event: OnEvent,
    deadline: Deadline | None,
) -> PlaybookResult:
    run = PlaybookRun(
        playbook(name),
        guests.inventory,
        extra_vars={**_variables(settings), **settings.variables, **variables},
        tags=settings.tags,
        limit=settings.limit,
        check=settings.check,
        forks=settings.forks,
    )
    log = settings.state / "logs" / Path(name).stem
    result = run_playbook(run, log, on_event=on_event, deadline=deadline)
    missed = {
        machine: HostResult(machine, message=reason, unreachable=True)
        for machine, reason in guests.left_out.items()
        if not settings.limit
    }
    return replace(result, hosts={**result.hosts, **missed})


def _variables(settings: Settings) -> dict[str, Any]:
    variables: dict[str, Any] = {"payload_source": str(payload_folder())}
    if settings.payload_python is not None:
        variables["payload_python"] = settings.payload_python
    return variables
