"""From a lab and a snapshot of the world to a plan. No input, no output, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from provision.plan.affinity import misplaced, movers, places, unknown_hosts
from provision.plan.compatibility import compatibility
from provision.plan.consent import questions, restarts, shrink
from provision.plan.devices import is_pinned
from provision.plan.draft import Draft, creation_text, drift_text
from provision.plan.drift import drift, settings_changes
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
from provision.plan.needs import Need, Unknown, resolve
from provision.plan.ownership import Ownership, ownership
from provision.plan.placement import Outcome, Placed, place
from provision.plan.preflight import (
    find_datastore,
    find_network,
    find_template,
    hosts_in_trouble,
    preflight,
    privileges,
)
from provision.plan.problem import Problem, configured_memory
from provision.plan.refusals import Reach
from provision.plan.request import Place, Request
from provision.plan.settings import derived_settings
from provision.plan.snapshot import Card, Connection, Power, Snapshot, Vm
from provision.plan.unplaced import Advisor
from provision.plan.world import without
from provision.spec.model import GpuRequest, Lab, Machine

REPLACE = ActionKind.REPLACE
CHANGING = frozenset({ActionKind.UPDATE, REPLACE})


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
    planner = _with_moves(lab, snapshot, allow_restart=allow_restart)
    could_move: frozenset[str] = frozenset()
    if not allow_restart and planner.misplaced:
        could_move = _with_moves(lab, snapshot, allow_restart=True).moving
    return planner.plan(could_move, allow_shrink=allow_shrink, allow_restart=allow_restart)


def _with_moves(lab: Lab, snapshot: Snapshot, *, allow_restart: bool) -> _Planner:
    """Return a planner that moves machines as their groups ask, where all of them find room.

    A group that asks for what the hosts have no room for stays where it is.
    """
    rooted: frozenset[str] = frozenset()
    while True:
        planner = _Planner(lab, snapshot, moving=allow_restart, rooted=rooted)
        unplaced = {request.group for request in planner.outcome.unplaced}
        if not planner.moving or not unplaced:
            return planner
        rooted |= planner.moving & unplaced or planner.moving


class _Planner:
    """Works one plan out.

    Args:
        lab: The lab.
        snapshot: The world.
        moving: Whether running machines may be moved where their groups ask for another place.
        rooted: Groups whose machines stay where they are, whatever they ask for.
    """

    def __init__(
        self, lab: Lab, snapshot: Snapshot, *, moving: bool, rooted: frozenset[str]
    ) -> None:
        self.lab, self.snapshot = lab, snapshot
        self.may_move, self.rooted = moving, rooted
        self.machines = lab.resolve()
        self.owned: Ownership = ownership(lab, self.machines, snapshot)
        self.held = _held(snapshot)
        self.needs, self.unknown = _resolve_all(self.machines, snapshot)
        vms = self.owned.vms
        there = [machine for machine in self.machines if machine.name in vms]
        # Who runs comes first, and rather stays.
        there.sort(key=lambda machine: vms[machine.name].power is not Power.ON)
        self.elsewhere = movers(places(there, self.owned.vms, snapshot.hosts), snapshot.hosts)
        self.drafts = tuple(self._draft(machine) for machine in self.machines)
        staying = [d.machine for d in self.drafts if d.stays and d.vm]
        self.standing = places(staying, self.owned.vms, snapshot.hosts)
        self.template = find_template(lab, snapshot)
        self.datastore = find_datastore(lab, snapshot)
        self.network = find_network(lab, snapshot)
        self.problem = self._problem()
        self.outcome = place(self.problem)

    @property
    def moving(self) -> frozenset[str]:
        """The groups of which a machine leaves its host because the group asks for another."""
        return frozenset(draft.machine.group for draft in self.drafts if draft.moves)

    @property
    def misplaced(self) -> bool:
        """Whether a machine stays where its group does not want it to be."""
        return any(d.machine.name in self.elsewhere and not d.moves for d in self.drafts)

    def plan(self, could_move: frozenset[str], *, allow_shrink: bool, allow_restart: bool) -> Plan:
        """Return the plan.

        Args:
            could_move: The groups that would be moved if the user agreed to restarts.
            allow_shrink: As in the function `plan`.
            allow_restart: As in the function `plan`.
        """
        outcome = self.outcome
        actions = tuple(self._actions(outcome))
        consented = Severity.WARNING if allow_restart else Severity.ERROR
        findings = [
            *self.owned.findings,
            *self.unknown,
            *unknown_hosts(self.machines, self.snapshot.hosts),
            *misplaced(self._staying(), self.snapshot.hosts, could_move),
            *preflight(self.lab, self.snapshot, self._made(), self.needs),
            *privileges(self.snapshot, moving=any(action.moves for action in actions)),
            *compatibility(self._made(), self.needs, outcome.placed, self.template, self.snapshot),
            *Advisor(self.problem, outcome, self.snapshot, self._settled()).findings(),
            *shrink(self.lab.lab, self.owned.surplus, allowed=allow_shrink),
            *restarts(self.lab.lab, self.drafts, consented),
            *hosts_in_trouble(self.snapshot.hosts, self._hosts_in_use()),
            *questions(self.drafts),
        ]
        return Plan(
            lab=self.lab.lab,
            fingerprint=fingerprint(self.lab, self.snapshot),
            actions=actions,
            findings=tuple(sorted(findings, key=lambda f: (f.severity, f.code, f.subject))),
            template_id=self.template.id if self.template else None,
            network_id=self.network.id if self.network else None,
        )

    def _draft(self, machine: Machine) -> Draft:
        vm, need = self.owned.vms.get(machine.name), self.needs[machine.name]
        if machine.name in self.owned.unclear:
            reason = "left alone: nobody can tell which VM it is"
            return Draft(machine, ActionKind.NONE, reason, vm=vm)
        if vm is None:
            return Draft(machine, ActionKind.CREATE, creation_text(machine), need)
        cards = [card for _, card in self.held.get(vm.id, ())]
        found = drift(machine, vm, need, cards if machine.gpu else (), self.snapshot.networks)
        stopped = vm.power is Power.OFF or bool(found.changes and not found.while_it_runs)
        moves = self._moves(machine, vm, stopped=stopped)
        if not found.changes and not found.unfinished and not moves:
            return Draft(machine, ActionKind.NONE, "as the lab file says", need, vm)
        kind = ActionKind.REPLACE if found.remade else ActionKind.UPDATE
        return Draft(
            machine, kind, drift_text(found), need, vm, found.changes,
            movable=kind is ActionKind.REPLACE or self._can_leave(machine, vm),
            restart=moves or not found.while_it_runs,
            has_run=not found.gpus_missing,
            moves=moves,
        )  # fmt: skip

    def _moves(self, machine: Machine, vm: Vm, *, stopped: bool) -> bool:
        """Whether a VM leaves its host for its group's sake.

        It does so by consent; without, where it is off or has to be powered off anyway.
        """
        wanted = machine.name in self.elsewhere and self._can_leave(machine, vm)
        return wanted and (self.may_move or stopped)

    def _can_leave(self, machine: Machine, vm: Vm) -> bool:
        """Whether a VM that is off can be moved.

        One with a card by address belongs to that card's host. vCenter moves nothing away from a
        host that it does not reach.
        """
        home = next((host for host in self.snapshot.hosts if host.id == vm.host_id), None)
        reached = home is not None and home.connection is Connection.CONNECTED
        return reached and machine.group not in self.rooted and not is_pinned(vm)

    def _staying(self) -> list[tuple[Machine, Place]]:
        """Return where the machines are that keep their VM and their host."""
        there = [d for d in self.drafts if d.vm and not d.moves and d.kind is not REPLACE]
        return places([draft.machine for draft in there], self.owned.vms, self.snapshot.hosts)

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
                yield draft.request(tuple(company.get(machine.group, ())))

    def _settled(self) -> tuple[Request, ...]:
        """Return the running machines that stay as they are, as if they were placed anew."""
        return tuple(
            draft.request() for draft in self.drafts if draft.stays and draft.vm and draft.need
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

    def _action(self, draft: Draft) -> Action:
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

    def _placed(self, draft: Draft, placed: Placed) -> Action:
        physical = _physical(placed)
        action = replace(
            self._action(draft),
            host=placed.host.name,
            host_id=placed.host.id,
            cards=_with_nodes(placed),
            settings=derived_settings(physical),
        )
        if draft.vm is None or draft.kind is not ActionKind.UPDATE:
            return action
        missing = [] if draft.machine.gpu is None else settings_changes(draft.vm, physical)
        reason = draft.reason
        if placed.host.id != draft.vm.host_id:
            was = next((h.name for h in self.snapshot.hosts if h.id == draft.vm.host_id), "none")
            missing.append(Change("host", was, placed.host.name))
            why = "its group asks for another" if draft.moves else "its host has no room"
            reason = "; ".join(filter(None, (reason, f"{why}, so it moves")))
        known = {change.path: change for change in (*missing, *draft.changes)}
        return replace(action, reason=reason, changes=tuple(known[path] for path in sorted(known)))

    def _where_it_is(self, draft: Draft) -> Action:
        host = next((h for h in self.snapshot.hosts if draft.vm and h.id == draft.vm.host_id), None)
        return replace(
            self._action(draft),
            host=host.name if host else None,
            host_id=host.id if host else None,
            cards=tuple(choice for choice, _ in self.held.get(draft.vm.id, ())) if draft.vm else (),
        )

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
