"""What would make a machine fit: small changes, each tried by placing everything again.

Nothing is proposed that was not found to work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from provision.gpu.catalogue import Profile
from provision.gpu.profiles import ProfileName, parse
from provision.gpu.types import CardMode
from provision.plan.hostchanges import HOST_CHANGES, consolidated
from provision.plan.names import listed
from provision.plan.needs import ModelNeed, Need, VgpuNeed, model_of
from provision.plan.placement import Outcome, place
from provision.plan.problem import Problem
from provision.plan.refusals import Refused, unusable
from provision.plan.request import Request
from provision.plan.snapshot import Card, Host, Vm
from provision.plan.world import without
from provision.spec.units import Size

# How much work the trials of one plan may cost, in machines and hosts looked at. An answer
# that comes in seconds is worth more than the tenth proposal.
WORK = 20_000
FEWEST_TRIALS, MOST_TRIALS = 3, 60
SHOWN = 3
HOSTS_CHANGED = 4
MORE_CARDS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
SMALLER_PROFILES = 4
HALVINGS = 5
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Case:
    """Machines of one kind that found no host.

    Attributes:
        requests: The machines.
        refusals: Each host's reason.
        total: How many machines their group wants placed.
    """

    requests: tuple[Request, ...]
    refusals: Sequence[tuple[Host, Refused]]
    total: int


class Remedies:
    """Tries changes to a world in which something does not fit.

    Args:
        problem: What placement was asked.
        outcome: What it answered.
        vms: Every VM, to power some of them off in thought.
        settled: The lab's running machines that the plan leaves alone.
    """

    def __init__(
        self, problem: Problem, outcome: Outcome, vms: Sequence[Vm], settled: tuple[Request, ...]
    ) -> None:
        self.problem, self.outcome, self.settled = problem, outcome, settled
        self.vms = {vm.id: vm for vm in vms}
        size = len(problem.requests) + len(problem.hosts) + 1
        self.trials = min(MOST_TRIALS, max(FEWEST_TRIALS, WORK // size))

    def for_case(self, case: Case) -> str:
        """Return up to three changes that each make all of the case's machines fit.

        The last one, where there is room for some of them, is to ask for fewer.
        """
        found: list[str] = []
        for proposals in (
            self._made_again(case),
            self._without_wishes(case),
            self._without_label(case),
            self._changed_hosts(case),
            self._restarts(case),
            self._less_memory(case),
            self._fewer_cpus(case),
            self._smaller_profile(case),
            self._more_cards(case),
        ):
            if len(found) < SHOWN and (text := next(proposals, None)) is not None:
                found.append(text)
        placed = case.total - sum(r.group == case.requests[0].group for r in self.outcome.unplaced)
        group = case.requests[0].group
        if case.requests[0].together:
            placed += self.outcome.most_together(case.requests)
        if placed and case.total > 1:
            found.append(f"lower the count of {group} by {case.total - placed}")
        if not found:
            found.append(f"ask for other GPUs in {group}; `vdl gpus` shows what is free")
        return "; or ".join(found)

    def _works(self, case: Case, changed: Problem) -> bool:
        """Whether the changed world has room for the case, and for no machine less."""
        if self.trials <= 0:
            return False
        self.trials -= 1
        names = {request.machine for request in case.requests}
        left = {request.machine for request in place(changed).unplaced}
        before = {request.machine for request in self.outcome.unplaced}
        return not left & names and left <= before

    def _with_hosts(self, hosts: dict[str, Host]) -> Problem:
        changed = tuple(hosts.get(host.id, host) for host in self.problem.hosts)
        return replace(self.problem, hosts=changed)

    def _changed_hosts(self, case: Case) -> Iterator[str]:
        need = case.requests[0].need
        own, reach = {host.id: host for host in self.problem.hosts}, self.problem.reach
        for change in HOST_CHANGES:
            better = [
                changed
                for host, refused in case.refusals
                if refused.code in change.codes
                if (changed := change.apply(own[host.id], need, reach))
            ]
            for hosts in _single_then_together(better):
                if self._works(case, self._with_hosts({host.id: host for host in hosts})):
                    yield change.text(hosts, reach)
                    break

    def _made_again(self, case: Case) -> Iterator[str]:
        """Propose to give up VMs that may not leave their hosts, where others have room."""
        names = {request.machine for request in case.requests if not request.movable}
        if not names:
            return
        requests = tuple(
            replace(r, home=None, movable=True) if r.machine in names else r
            for r in self.problem.requests
        )
        if self._works(case, replace(self.problem, requests=requests)):
            yield f"delete {listed(sorted(names))} and plan again: another host has room"

    def _without_wishes(self, case: Case) -> Iterator[str]:
        """Propose to ask nothing about company, distance or the host."""
        first = case.requests[0]
        for wish, less in (
            ("together", replace(first, together=False)),
            ("spread", replace(first, spread=False)),
            ("host", replace(first, host=None)),
        ):
            requests = tuple(
                replace(r, together=less.together, spread=less.spread, host=less.host)
                if r.group == first.group
                else r
                for r in self.problem.requests
            )
            if less != first and self._works(case, replace(self.problem, requests=requests)):
                yield f"remove {wish} from {first.group}"

    def _without_label(self, case: Case) -> Iterator[str]:
        """Propose to take any card of the model."""
        first = case.requests[0]
        if isinstance(first.need, ModelNeed) and first.need.label is not None:
            any_card = replace(first.need, label=None)
            if self._works(case, self._with_requests(first.group, need=any_card)):
                yield f"ask for passthrough: {first.need.model.key} in {first.group}, any label"

    def _restarts(self, case: Case) -> Iterator[str]:
        """Propose to power the lab's own machines off, so that all can start in a better order."""
        codes = {"gpu-profile-locked", "gpu-capacity", "mig-geometry", "affinity"}
        for host, refused in case.refusals:
            mine = [request for request in self.settled if request.home == host.id]
            if refused.code not in codes or not mine:
                continue
            names = {request.machine for request in mine}
            vms = [vm for vm in self.vms.values() if vm.machine in names]
            others = (
                replace(r, company=tuple(place for place in r.company if place.host != host.id))
                for r in self.problem.requests
            )
            emptied = replace(
                self.problem,
                requests=(*others, *(replace(r, movable=False) for r in mine)),
                hosts=without(self.problem.hosts, vms),
            )
            text = f"power off {listed(sorted(names))} and plan again"
            if self._works(case, emptied):
                yield f"{text}: in another order everything fits {host.name}"
            hosts = tuple((consolidated(h) or h) if h.id == host.id else h for h in emptied.hosts)
            if hosts != emptied.hosts and self._works(case, replace(emptied, hosts=hosts)):
                yield f"switch {host.name} to consolidation, {text}"

    def _less_memory(self, case: Case) -> Iterator[str]:
        short = [h.id for h, refused in case.refusals if refused.code == "memory-reservation"]
        room = max((self.outcome.states[host_id].reservable for host_id in short), default=0)
        group, memory = case.requests[0].group, room // GIB * GIB
        for _ in range(HALVINGS):
            if memory < GIB:
                return
            if self._works(case, self._with_requests(group, memory=memory)):
                yield f"lower the memory of {group} to {Size(memory)}"
            memory = memory // 2 // GIB * GIB

    def _fewer_cpus(self, case: Case) -> Iterator[str]:
        small = {h.cpus for h, refused in case.refusals if refused.code == "cpu-capacity"}
        group = case.requests[0].group
        for cpus in sorted(small, reverse=True)[:HALVINGS]:
            if self._works(case, self._with_requests(group, cpus=cpus)):
                yield f"lower the CPUs of {group} to {cpus}"

    def _with_requests(
        self,
        group: str,
        memory: int | None = None,
        need: Need | None = None,
        cpus: int | None = None,
    ) -> Problem:
        requests = tuple(
            replace(r, memory=memory or r.memory, need=need or r.need, cpus=cpus or r.cpus)
            if r.group == group
            else r
            for r in self.problem.requests
        )
        return replace(self.problem, requests=requests)

    def _smaller_profile(self, case: Case) -> Iterator[str]:
        need = case.requests[0].need
        if not isinstance(need, VgpuNeed) or need.model is None or need.group:
            return
        # A form of the card (PCIe, SXM) has profiles of its own: the same of another form first.
        smaller = [
            profile
            for profile in need.model.profiles
            if profile.mig is need.profile.mig and profile.name != need.profile.name
            if profile.framebuffer_mib < need.profile.framebuffer_mib
            or _form_free(profile) == _form_free(need.profile)
        ]
        smaller.sort(key=lambda profile: (-profile.framebuffer_mib, profile.name))
        for profile in smaller[:SMALLER_PROFILES]:
            less = replace(need, profile=profile)
            if self._works(case, self._with_requests(case.requests[0].group, need=less)):
                yield f"take profile {profile.name}"

    def _more_cards(self, case: Case) -> Iterator[str]:
        need = case.requests[0].need
        if not isinstance(need, VgpuNeed | ModelNeed) or need.model is None:
            return
        found = self._host_for_cards(need, {host.id for host, _ in case.refusals})
        if found is None:
            return
        host, card = found
        for count in MORE_CARDS:
            new = tuple(
                replace(card, address=f"ffff:{slot:02x}:00.0", uses=()) for slot in range(count)
            )
            larger = replace(host, cards=(*host.cards, *new))
            if self._works(case, self._with_hosts({host.id: larger})):
                what = need.text if isinstance(need, ModelNeed) else need.model.key
                yield f"add {count} more {what} to {host.name}"

    def _host_for_cards(
        self, need: VgpuNeed | ModelNeed, considered: set[str]
    ) -> tuple[Host, Card] | None:
        """Return the host with the most memory left that has such a card in the right mode."""
        mode = CardMode.SHARED if isinstance(need, VgpuNeed) else CardMode.PASSTHROUGH
        states = sorted(self.outcome.states.values(), key=lambda s: (-s.reservable, s.rank))
        for state in states:
            if state.host.id in considered and not unusable(state.host, self.outcome.reach):
                for card in state.host.cards:
                    if card.mode is mode and model_of(card) is need.model:
                        label = need.label if isinstance(need, ModelNeed) else None
                        return state.host, replace(card, passthrough_active=True, label=label)
        return None


def _single_then_together(hosts: Sequence[Host]) -> Iterator[Sequence[Host]]:
    """Yield the first few hosts one by one, then two, three and more of them together."""
    few = hosts[:HOSTS_CHANGED]
    yield from ([host] for host in few)
    yield from (few[:count] for count in range(2, len(few) + 1))


def _form_free(profile: Profile) -> ProfileName | None:
    """Return what a profile's name says beside the form of its card."""
    parsed = parse(profile.name)
    return replace(parsed, gpu="") if parsed is not None else None
