"""From a lab and a snapshot of the world to a plan. No input, no output, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from provision.plan.affinity import misplaced, places, unknown_hosts
from provision.plan.compatibility import compatibility
from provision.plan.devices import request_text
from provision.plan.drift import Drift, drift
from provision.plan.fingerprint import fingerprint
from provision.plan.model import (
    Action,
    ActionKind,
    CardChoice,
    Change,
    Finding,
    Plan,
    Severity,
)
from provision.plan.names import counted, listed
from provision.plan.needs import Need, Unknown, resolve
from provision.plan.ownership import Ownership, ownership
from provision.plan.placement import Outcome, Placed, place
from provision.plan.preflight import (
    find_datastore,
    find_network,
    find_template,
    hosts_in_trouble,
    preflight,
)
from provision.plan.problem import Problem, configured_memory
from provision.plan.refusals import Reach
from provision.plan.request import Place, Request
from provision.plan.settings import derived_settings
from provision.plan.snapshot import Card, Power, Snapshot, Vm
from provision.plan.unplaced import Advisor
from provision.plan.world import without
from provision.spec.model import GpuRequest, Lab, Machine

CHANGING = frozenset({ActionKind.UPDATE, ActionKind.REPLACE})


@dataclass(frozen=True, slots=True)
class _Draft:
    """What is to be done to a machine, before a host is found for it."""

    machine: Machine
    kind: ActionKind
    reason: str
    need: Need | None = None
    vm: Vm | None = None
    changes: tuple[Change, ...] = ()
    movable: bool = True
    restart: bool = True
    has_run: bool = False

    @property
    def stays(self) -> bool:
        """Whether the machine keeps its host and its cards, changed or not."""
        return self.kind is ActionKind.NONE or not self.restart


def plan(
    lab: Lab, snapshot: Snapshot, *, allow_shrink: bool = False, allow_restart: bool = False
) -> Plan:
    """Return what must be done to make the world what the lab file says.

    Args:
        lab: The lab.
        snapshot: The world.
        allow_shrink: Whether the user has confirmed that machines which the file no longer has
            are to be deleted; otherwise they block the plan.
        allow_restart: Whether the user has confirmed that running machines may be powered off for
            a change, and machines made again; otherwise they block the plan.
    """
    return _Planner(lab, snapshot).plan(allow_shrink=allow_shrink, allow_restart=allow_restart)


class _Planner:
    def __init__(self, lab: Lab, snapshot: Snapshot) -> None:
        self.lab, self.snapshot = lab, snapshot
        self.machines = lab.resolve()
        self.owned: Ownership = ownership(lab, self.machines, snapshot)
        self.held = _held(snapshot)
        self.needs, self.unknown = _resolve_all(self.machines, snapshot)
        self.drafts = tuple(self._draft(machine) for machine in self.machines)
        staying = [d.machine for d in self.drafts if d.stays and d.vm]
        self.standing = places(staying, self.owned.vms, snapshot.hosts)
        self.template = find_template(lab, snapshot)
        self.datastore = find_datastore(lab, snapshot)
        self.network = find_network(lab, snapshot)

    def plan(self, *, allow_shrink: bool, allow_restart: bool) -> Plan:
        problem = self._problem()
        outcome = place(problem)
        findings = [
            *self.owned.findings,
            *self.unknown,
            *unknown_hosts(self.machines, self.snapshot.hosts),
            *misplaced(self.standing, self.snapshot.hosts),
            *preflight(self.lab, self.snapshot, self._made(), self.needs),
            *compatibility(self._made(), self.needs, outcome.placed, self.template, self.snapshot),
            *Advisor(problem, outcome, self.snapshot, self._settled()).findings(),
            *self._shrink(allow_shrink=allow_shrink),
            *self._restarts(Severity.WARNING if allow_restart else Severity.ERROR),
            *hosts_in_trouble(self.snapshot.hosts, self._hosts_in_use()),
            *self._questions(),
        ]
        return Plan(
            lab=self.lab.lab,
            fingerprint=fingerprint(self.lab, self.snapshot),
            actions=tuple(self._actions(outcome)),
            findings=tuple(sorted(findings, key=lambda f: (f.severity, f.code, f.subject))),
            template_id=self.template.id if self.template else None,
            network_id=self.network.id if self.network else None,
        )

    def _draft(self, machine: Machine) -> _Draft:
        vm, need = self.owned.vms.get(machine.name), self.needs[machine.name]
        if machine.name in self.owned.unclear:
            reason = "left alone: nobody can tell which VM it is"
            return _Draft(machine, ActionKind.NONE, reason, vm=vm)
        if vm is None:
            return _Draft(machine, ActionKind.CREATE, _what(machine), need)
        cards = [card for _, card in self.held.get(vm.id, ())]
        found = drift(machine, vm, need, cards if machine.gpu else (), self.snapshot.networks)
        if not found.changes and not found.unfinished:
            return _Draft(machine, ActionKind.NONE, "as the lab file says", need, vm)
        kind = ActionKind.REPLACE if found.remade else ActionKind.UPDATE
        return _Draft(
            machine, kind, _reason(found), need, vm, found.changes,
            movable=kind is ActionKind.REPLACE or found.gpus_missing,
            restart=not found.while_it_runs,
            has_run=not found.gpus_missing,
        )  # fmt: skip

    def _problem(self) -> Problem:
        """Return what placement must solve: every machine that will be powered on."""
        leaving = [d.vm for d in self.drafts if d.vm and d.kind in CHANGING and not d.stays]
        leaving += self.owned.surplus
        gone = {vm.id for vm in leaving}
        staying = (vm for vm in self.snapshot.vms if vm.id not in gone)
        return Problem(
            requests=tuple(self._requests()),
            hosts=without(self.snapshot.hosts, leaving),
            configured=configured_memory(staying),
            reach=Reach(self.datastore, self.network, self._hardware()),
        )

    def _hardware(self) -> int:
        """Return the hardware version that every host must run; 0 where one VM is there already.

        A VM that exists runs on its host, whatever the template has become since.
        """
        new = all(draft.vm is None for draft in self.drafts)
        return self.template.hardware if self.template and new else 0

    def _requests(self) -> Iterator[Request]:
        company: dict[str, list[Place]] = {}
        for machine, where in self.standing:
            company.setdefault(machine.group, []).append(where)
        names = {host.name for host in self.snapshot.hosts}
        for draft in self.drafts:
            machine = draft.machine
            known = machine.gpu is None or draft.need is not None
            if draft.stays or not known:
                continue
            if machine.host is None or machine.host in names:
                yield _request(draft, tuple(company.get(machine.group, ())))

    def _settled(self) -> tuple[Request, ...]:
        """Return the running machines that stay as they are, as if they were placed anew."""
        return tuple(
            _request(draft) for draft in self.drafts if draft.stays and draft.vm and draft.need
        )

    def _made(self) -> tuple[Machine, ...]:
        made = (ActionKind.CREATE, ActionKind.REPLACE)
        return tuple(draft.machine for draft in self.drafts if draft.kind in made)

    def _actions(self, outcome: Outcome) -> Iterator[Action]:
        """Yield the actions in the order in which apply starts them and powers machines on."""
        for vm in self.owned.surplus:
            reason = "the lab file has no such machine any more"
            yield Action(ActionKind.DESTROY, vm.machine or vm.name, reason, vm=vm)
        drafts = {draft.machine.name: draft for draft in self.drafts}
        for placed in outcome.placed:
            yield self._placed(drafts.pop(placed.request.machine), placed)
        for draft in drafts.values():
            if not draft.stays:
                yield self._action(draft)
        # A stable sort: those that stay as they are stand last.
        for draft in sorted(drafts.values(), key=lambda draft: draft.kind is ActionKind.NONE):
            if draft.stays:
                yield self._where_it_is(draft)

    def _action(self, draft: _Draft) -> Action:
        return Action(
            kind=draft.kind,
            machine=draft.machine.name,
            reason=draft.reason,
            spec=draft.machine,
            vm=draft.vm,
            datastore_id=self.datastore.id if self.datastore else None,
            changes=draft.changes,
            restart=draft.restart,
        )

    def _placed(self, draft: _Draft, placed: Placed) -> Action:
        action = replace(
            self._action(draft),
            host=placed.host.name,
            host_id=placed.host.id,
            cards=_with_nodes(placed),
            settings=derived_settings(_physical(placed)),
        )
        if draft.vm is None or placed.host.id == draft.vm.host_id:
            return action
        if draft.kind is ActionKind.UPDATE:
            reason = f"{draft.reason}; its host has no room, so it is made again on another"
            return replace(action, kind=ActionKind.REPLACE, reason=reason)
        return action

    def _where_it_is(self, draft: _Draft) -> Action:
        host = next((h for h in self.snapshot.hosts if draft.vm and h.id == draft.vm.host_id), None)
        return replace(
            self._action(draft),
            host=host.name if host else None,
            host_id=host.id if host else None,
            cards=tuple(choice for choice, _ in self.held.get(draft.vm.id, ())) if draft.vm else (),
        )

    def _shrink(self, *, allow_shrink: bool) -> Iterator[Finding]:
        surplus = self.owned.surplus
        if surplus and not allow_shrink:
            names = listed(vm.machine or vm.name for vm in surplus)
            message = f"{counted(len(surplus), 'VM')} would be deleted with their disks: {names}"
            fix = "if that is meant, confirm it with --allow-shrink; else correct the lab file"
            yield Finding(Severity.ERROR, "shrink", self.lab.lab, message, fix)

    def _restarts(self, severity: Severity) -> Iterator[Finding]:
        """Yield what ends the work of machines, or deletes it; a VM that never ran has none."""
        fix = "when what runs in them has ended, confirm it with `vdl provision --allow-restart`"
        stopped = [
            draft.machine.name
            for draft in self.drafts
            if draft.kind is ActionKind.UPDATE and draft.restart
            if draft.vm and draft.vm.power is Power.ON
        ]
        if stopped:
            what = counted(len(stopped), "running machine")
            message = f"{what} will be shut down, changed and started again: {listed(stopped)}"
            yield Finding(severity, "drift-restart", self.lab.lab, message, fix)
        again = [d for d in self.drafts if d.kind is ActionKind.REPLACE and d.has_run]
        if again:
            running = sum(d.vm is not None and d.vm.power is Power.ON for d in again)
            names = listed(draft.machine.name for draft in again)
            message = (
                f"{counted(len(again), 'machine')} ({running} running) will be deleted with "
                f"their disks and made again: {names}"
            )
            undo = f"{fix}, or undo the change in the lab file"
            yield Finding(severity, "drift-replace", self.lab.lab, message, undo)

    def _questions(self) -> Iterator[Finding]:
        for draft in self.drafts:
            if draft.vm and draft.vm.question:
                message = f"{draft.vm.path} waits for an answer: {draft.vm.question}"
                fix = "answer it in vCenter"
                yield Finding(Severity.WARNING, "vm-question", draft.machine.name, message, fix)

    def _hosts_in_use(self) -> frozenset[str]:
        return frozenset(vm.host_id for vm in self.owned.vms.values() if vm.host_id)


def _resolve_all(
    machines: Sequence[Machine], snapshot: Snapshot
) -> tuple[dict[str, Need | None], list[Finding]]:
    """Return the need of each machine, and a finding per group that asks for the unknown."""
    resolved: dict[GpuRequest, Need | Unknown] = {}
    needs: dict[str, Need | None] = {}
    findings: dict[str, Finding] = {}
    for machine in machines:
        needs[machine.name] = None
        if machine.gpu is None:
            continue
        if machine.gpu not in resolved:
            resolved[machine.gpu] = resolve(machine.gpu, snapshot.hosts)
        found = resolved[machine.gpu]
        if isinstance(found, Unknown):
            subject = f"{machine.lab}-{machine.group}"
            findings[subject] = Finding(
                Severity.ERROR, found.code, subject, found.message, found.fix
            )
        else:
            needs[machine.name] = found
    return needs, list(findings.values())


def _what(machine: Machine) -> str:
    parts = [f"{machine.cpus} CPUs", str(machine.memory), f"{machine.disk} disk"]
    if machine.gpu is not None:
        parts.append(request_text(machine.gpu))
    return f"from {machine.template}: {', '.join(parts)}"


def _reason(found: Drift) -> str:
    parts = []
    if found.unfinished:
        parts.append(f"unfinished: {', '.join(found.unfinished)}")
    if found.remade:
        parts.append(
            f"{listed(found.remade)}: used by the first boot, so only a new VM can have it"
        )
    elif found.changes and not found.gpus_missing:
        how = "changed while it runs" if found.while_it_runs else "needs a power cycle"
        parts.append(f"{listed(c.path for c in found.changes)}: {how}")
    return "; ".join(parts)


def _request(draft: _Draft, company: tuple[Place, ...] = ()) -> Request:
    machine = draft.machine
    return Request(
        machine=machine.name,
        group=machine.group,
        cpus=machine.cpus,
        memory=machine.memory,
        need=draft.need,
        home=draft.vm.host_id if draft.vm else None,
        movable=draft.vm is None or draft.movable,
        together=machine.together,
        spread=machine.spread,
        host=machine.host,
        company=company if machine.together or machine.spread else (),
    )


def _physical(placed: Placed) -> list[Card]:
    """Return the physical card behind each GPU device of a machine.

    The cards of a device group may not be known; then all cards of the host are taken, which
    makes the MMIO space larger than needed and never too small.
    """
    cards = {card.address: card for card in placed.host.cards}
    if placed.request.need is not None and not placed.cards:
        return list(cards.values())
    return [cards[choice.address] for choice in placed.cards]


def _with_nodes(placed: Placed) -> tuple[CardChoice, ...]:
    """Return a machine's cards with the NUMA node of each."""
    nodes = {card.address: card.numa_node for card in placed.host.cards}
    return tuple(replace(choice, numa_node=nodes[choice.address]) for choice in placed.cards)


def _held(snapshot: Snapshot) -> dict[str, list[tuple[CardChoice, Card]]]:
    """Return the cards that each VM holds now, by the VM's id; one entry per GPU device."""
    held: dict[str, list[tuple[CardChoice, Card]]] = {}
    for host in snapshot.hosts:
        for card in host.cards:
            for use in card.uses:
                choice = CardChoice(host.name, card.address, use.profile, card.numa_node)
                held.setdefault(use.vm_id, []).append((choice, card))
    return held
