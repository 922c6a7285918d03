"""A host's plan and what came of it, as text for people and as JSON for scripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from provision.hosts.plan import HostPlan, Step, StepKind
from provision.hosts.wish import model_of
from provision.plan.model import Finding, Severity
from provision.vsphere.host_port import GpuState, HostState

VERSION = 1
WORDS: Mapping[StepKind, str] = {
    StepKind.ENTER_MAINTENANCE: "enter maintenance mode",
    StepKind.SET_PASSTHROUGH: "set passthrough",
    StepKind.SET_LABELS: "set hardware labels",
    StepKind.SET_GRAPHICS: "set graphics",
    StepKind.REBOOT: "reboot the host",
    StepKind.WAIT: "wait for its return",
    StepKind.VERIFY: "verify",
    StepKind.LEAVE_MAINTENANCE: "leave maintenance mode",
}


def render_text(plan: HostPlan) -> Text:
    """Return the plan as it is shown before anything changes."""
    return Text("\n").join([Text(f"{plan.host}: {plan.wish}"), *_lines(plan)])


def _lines(plan: HostPlan) -> Iterator[Text]:
    for number, step in enumerate(plan.steps, start=1):
        yield Text(f"  {number}. {WORDS[step.kind]}: {step.reason}", style="yellow")
    for one in plan.displaced:
        yield Text(f"  VM {one.vm}: {one.what}")
    for finding in plan.findings:
        yield from _finding(finding)
    yield Text(_last(plan))


def _finding(finding: Finding) -> Iterator[Text]:
    style = "red" if finding.severity is Severity.ERROR else "yellow"
    yield Text(f"{finding.severity.value}: {finding.code}: {finding.subject}", style=style)
    yield Text(f"  {finding.message}")
    yield Text(f"  fix: {finding.fix}")


def _last(plan: HostPlan) -> str:
    if plan.blocked:
        return "Blocked: nothing can change until the errors above are gone."
    if not plan.steps:
        return "Nothing to do: the host is as it is wanted."
    reboots = sum(step.kind is StepKind.REBOOT for step in plan.steps)
    return f"Plan: {len(plan.steps)} steps, {'one reboot' if reboots else 'no reboot'}."


def document(
    plan: HostPlan, state: HostState, result: str, *, done: tuple[Step, ...] = (), why: str = ""
) -> dict[str, Any]:
    """Return plan, result and state as JSON values, version 1.

    Args:
        plan: The plan.
        state: The host as it was seen last.
        result: `nothing`, `pending`, `blocked`, `done`, `failed` or `interrupted`.
        done: The steps that were carried out: the first ones of the plan.
        why: The error's text, where there was one.
    """
    return {
        "version": VERSION,
        "host": plan.host,
        "wish": plan.wish,
        "result": result,
        "error": why or None,
        "steps": [_step(step, n < len(done)) for n, step in enumerate(plan.steps)],
        "vms": [{"vm": one.vm, "what": one.what} for one in plan.displaced],
        "findings": [
            {
                "severity": finding.severity.value,
                "code": finding.code,
                "object": finding.subject,
                "message": finding.message,
                "fix": finding.fix,
            }
            for finding in plan.findings
        ],
        "state": _state(state),
    }


def _step(step: Step, done: bool) -> dict[str, Any]:  # noqa: FBT001 - private, and read once
    found: dict[str, Any] = {"step": step.kind.value, "reason": step.reason, "done": done}
    if step.kind is StepKind.SET_PASSTHROUGH:
        found["passthrough"] = dict(step.passthrough)
    if step.kind is StepKind.SET_LABELS:
        found["labels"] = dict(step.labels)
    if step.kind is StepKind.SET_GRAPHICS:
        modes = {address: mode and mode.value for address, mode in step.graphics.modes.items()}
        policy = step.graphics.policy
        found["graphics"] = {"policy": policy and policy.value, "vgpu_modes": modes}
    return found


def _state(state: HostState) -> dict[str, Any]:
    return {
        "connection": state.connection.value,
        "in_maintenance": state.in_maintenance,
        "maintenance_by_vdl": state.in_maintenance and state.claim.maintenance is not None,
        "policy": state.policy.value,
        "default_graphics": state.default_graphics,
        "cards": [_card(gpu) for gpu in state.gpus],
    }


def _card(gpu: GpuState) -> dict[str, Any]:
    model = model_of(gpu)
    return {
        "address": gpu.address,
        "model": model.key if model else gpu.name,
        "passthrough": {"enabled": gpu.enabled, "active": gpu.active},
        "graphics": gpu.graphics,
        "vgpu_mode": gpu.vgpu_mode.value if gpu.vgpu_mode else None,
        "label": gpu.label,
    }
