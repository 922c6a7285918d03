"""Findings for machines that no host takes: which hosts were asked, why not, and what helps."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from provision.plan.model import Finding, Severity
from provision.plan.names import counted, listed
from provision.plan.placement import Outcome
from provision.plan.problem import Problem
from provision.plan.refusals import NEARNESS, Refused
from provision.plan.remedies import Case, Remedies
from provision.plan.request import Request
from provision.plan.snapshot import Host, Snapshot

# Each kind of machine that finds no place is explained by asking every host; a lab whose every
# machine is of a kind of its own does not get more than this many explanations.
EXPLAINED = 40

Refusals = Sequence[tuple[Host, Refused]]


class Advisor:
    """Explains what placement left over.

    Args:
        problem: What placement was asked.
        outcome: What it answered.
        snapshot: The world.
        settled: The lab's running machines that the plan leaves alone.
    """

    def __init__(
        self, problem: Problem, outcome: Outcome, snapshot: Snapshot, settled: tuple[Request, ...]
    ) -> None:
        self.problem, self.outcome, self.snapshot = problem, outcome, snapshot
        self.remedies = Remedies(problem, outcome, snapshot.vms, settled)

    def findings(self) -> Iterator[Finding]:
        """Yield a finding per kind of machine that found no host."""
        kinds: dict[Hashable, list[Request]] = {}
        for request in self.outcome.unplaced:
            kinds.setdefault(_kind(request), []).append(request)
        for requests in list(kinds.values())[:EXPLAINED]:
            yield self._finding(requests)
        rest = [request for requests in list(kinds.values())[EXPLAINED:] for request in requests]
        if rest:
            message = f"{counted(len(rest), 'further machine')} found no host"
            fix = "begin with the findings that are explained"
            names = listed(request.machine for request in rest)
            yield Finding(Severity.ERROR, "gpu-capacity", names, message, fix)

    def _finding(self, requests: Sequence[Request]) -> Finding:
        first = requests[0]
        refusals = self.outcome.refusals(first)
        total = sum(request.group == first.group for request in self.problem.requests)
        if total == 1:
            subject, head = first.machine, "no host takes it"
        else:
            subject = first.machine.rpartition("-")[0]
            names = listed(request.machine for request in requests)
            head = f"{len(requests)} of {counted(total, 'machine')} found no host: {names}"
        case = Case(tuple(requests), refusals, total)
        return Finding(
            severity=Severity.ERROR,
            code=nearest(refusals),
            subject=subject,
            message="\n".join([head, *reasons(refusals)]),
            fix=self.remedies.for_case(case),
        )


def nearest(refusals: Refusals) -> str:
    """Return the code of the host that is nearest to a fit."""
    codes = {refused.code for _, refused in refusals}
    return max(codes, key=NEARNESS.index, default="host-unavailable")


def reasons(refusals: Refusals) -> list[str]:
    """Return `esx-01, esx-02: REASON`, one line per reason, the nearest to a fit first."""
    if not refusals:
        return ["its host is not in this cluster, or the cluster has no hosts"]
    hosts: dict[Refused, list[str]] = {}
    for host, refused in refusals:
        hosts.setdefault(refused, []).append(host.name)
    order = sorted(hosts, key=lambda r: (-NEARNESS.index(r.code), hosts[r][0]))
    return [f"{listed(hosts[refused])}: {refused.text}" for refused in order]


def _kind(request: Request) -> Hashable:
    """Return what machines share that are refused for the same reasons."""
    tied = None if request.movable else request.home
    return request.group, request.need, request.cpus, request.memory, tied
