"""Carries one mutating call out: sent once, waited for, and accounted for if its answer is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim, vmodl

from provision.deadline import Deadline
from provision.errors import NoConnection
from provision.vsphere.collector import Collector, moid
from provision.vsphere.faults import describe, fault_name, fix_for
from provision.vsphere.operation import current_operation
from provision.vsphere.port import ActionFailed, OutcomeUnknown
from provision.vsphere.retry import pauses, within
from provision.vsphere.session import Session, VCenterAway
from provision.vsphere.tls import ResponseLost
from provision.vsphere.waiter import Waiter

# How long a request whose response was lost may still be on its way inside vCenter before
# "there is no trace of it" means "it was never carried out".
SETTLE_SECONDS = 10.0
# How long a failure's message may wait for a detail.
TEXT_SECONDS = 2.0
UNFINISHED = frozenset({"queued", "running"})


@dataclass(frozen=True, slots=True)
class Call:
    """One mutating call.

    Attributes:
        what: What failed if it fails, such as `the clone failed`.
        subject: Names the VM; asked only when the call has failed.
        target: The object whose task it is: the VM, for a clone its template.
        send: Sends it and returns its task.
        outcome: Looks at the world and returns what the call should have brought about, or
            None where it has not. Asked only when the task can't tell.
        context: What a failure's message names besides, such as host and cards.
    """

    what: str
    subject: Callable[[], str]
    target: Any
    send: Callable[[], Any]
    outcome: Callable[[], Any | None]
    context: Callable[[], str] = str  # str() is empty


class Calls:
    """Carries calls out for any number of threads."""

    def __init__(self, session: Session, waiter: Waiter) -> None:
        self._session = session
        self._waiter = waiter
        self._collector = Collector(session)

    def carry_out(self, call: Call, deadline: Deadline) -> Any:
        """Return the result of the call's task, or what `outcome` found instead.

        Raises:
            ActionFailed: vCenter refused or failed it, or it was never carried out.
            OutcomeUnknown: The deadline passed first.
            NoConnection: vCenter refused to let the session go on.
        """
        with within(deadline):
            while True:
                try:
                    task = call.send()
                except vim.fault.TaskInProgress as fault:
                    self._let_end(call, fault, deadline)
                    continue
                except vmodl.MethodFault as fault:
                    raise _failed(call, fault) from fault
                except VCenterAway as error:
                    raise ActionFailed(
                        f"{call.what}: vCenter went away before anything was sent",
                        subject=_safely(call.subject),
                        why=error.why,
                        fix=error.fix,
                    ) from error
                except ResponseLost as error:
                    return self._find_out(call, str(error), deadline)
                ended, result = self._follow(call, task, deadline)
                if ended:
                    return result

    def _follow(self, call: Call, task: Any, deadline: Deadline) -> tuple[bool, Any]:
        """Wait for a task; False where it was refused for another one that has ended since."""
        if (now := current_operation()) is not None:
            now.on_task(moid(task))
        end = self._waiter.wait_task(task, deadline)
        if end is None:
            raise self._unknown(call, f"task {moid(task)} still runs")
        if end.state == "gone":
            return True, self._find_out(call, f"task {moid(task)} has expired", deadline)
        if isinstance(end.fault, vim.fault.TaskInProgress):
            self._let_end(call, end.fault, deadline)
            return False, None
        if end.fault is not None:
            raise _failed(call, end.fault)
        return True, end.result

    def _let_end(self, call: Call, fault: Any, deadline: Deadline) -> None:
        """Wait for the task that a refused call ran into; refused means not carried out."""
        if fault.task is None:
            time.sleep(min(1.0, deadline.left))
        else:
            self._waiter.wait_task(fault.task, deadline)
        if deadline.passed:
            raise self._unknown(call, f"another task keeps it busy: {describe(fault)}")

    def _find_out(self, call: Call, why: str, deadline: Deadline) -> Any:
        """Look at the world until it shows what came of a call."""
        settled = Deadline.after(min(SETTLE_SECONDS, deadline.left))
        waits = pauses()
        while True:
            try:
                foreign = self._unfinished(call.target)
                if (found := call.outcome()) is not None and not foreign:
                    return found
            except VCenterAway as error:
                raise self._unknown(call, f"{why}; {error.what}") from error
            if deadline.passed:
                raise self._unknown(call, why)
            if foreign:
                self._waiter.wait_task(foreign[0], deadline)
            elif settled.passed:
                raise ActionFailed(
                    f"{call.what}: vCenter shows no trace of it",
                    subject=_safely(call.subject),
                    why=why,
                    fix="run the same command again",
                )
            else:
                self._session.closed.wait(min(next(waits), deadline.left))

    def _unfinished(self, target: Any) -> list[Any]:
        """Return the target's unfinished tasks that no thread of this process waits for."""
        found = self._collector.one(target, ["recentTask"])
        if found is None:
            return []
        known = self._waiter.waits_for()
        refs = [task for task in found.get("recentTask", ()) if moid(task) not in known]
        states = self._collector.of(refs, {vim.Task: ["info.state"]})
        return [task.ref for task in states if task.get("info.state") in UNFINISHED]

    def _unknown(self, call: Call, why: str) -> OutcomeUnknown:
        question = self._question(call.target)
        return OutcomeUnknown(
            f"{call.what}: no outcome before the deadline",
            subject=_safely(call.subject),
            why="; ".join(filter(None, (why, question))),
            fix="look at the task in vCenter; when it has ended, run the same command again",
        )

    def _question(self, target: Any) -> str | None:
        """Return the question that a VM waits with, if it can still be read."""
        if not isinstance(target, vim.VirtualMachine):
            return None
        try:
            with within(Deadline.after(TEXT_SECONDS)):
                found = self._collector.one(target, ["runtime.question"])
        except (NoConnection, vmodl.MethodFault):
            return None
        question = found.get("runtime.question") if found else None
        return f"the VM waits for an answer to: {question.text}" if question else None


def _failed(call: Call, fault: Any) -> ActionFailed:
    parts: Iterable[str] = (describe(fault), _safely(call.context))
    return ActionFailed(
        call.what,
        subject=_safely(call.subject),
        why="; ".join(filter(None, parts)),
        fix=fix_for(fault),
        fault=fault_name(fault),
    )


def _safely(read: Callable[[], str]) -> str:
    """Return a text for a message; empty where even reading it fails."""
    try:
        with within(Deadline.after(TEXT_SECONDS)):
            return read()
    except (NoConnection, ActionFailed, ResponseLost, vmodl.MethodFault):
        return ""
