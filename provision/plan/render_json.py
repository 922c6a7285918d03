"""A plan as JSON, version 1: the contract that other people's scripts rely on."""

from __future__ import annotations

import json
from typing import Any

from provision.plan.model import Action, ActionKind, Finding, Plan

VERSION = 1


def document(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain data; it only grows within one version."""
    return {
        "version": VERSION,
        "lab": plan.lab,
        "fingerprint": plan.fingerprint,
        "actions": [_action(action) for action in plan.actions],
        "findings": [_finding(finding) for finding in plan.findings],
        "summary": {kind.value: plan.count(kind) for kind in ActionKind},
    }


def render_json(plan: Plan) -> str:
    """Return the plan as JSON text; equal plans give equal text."""
    return json.dumps(document(plan), indent=2, sort_keys=True, ensure_ascii=False)


def _action(action: Action) -> dict[str, Any]:
    return {
        "action": action.kind.value,
        "machine": action.machine,
        "reason": action.reason,
        "host": action.host,
        "cards": [
            {
                "host": card.host,
                "address": card.address,
                "profile": card.profile,
                "numa_node": card.numa_node,
            }
            for card in action.cards
        ],
        "settings": dict(action.settings),
        "changes": [
            {"path": change.path, "old": change.old, "new": change.new} for change in action.changes
        ],
        "vm": action.vm.path if action.vm else None,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "severity": finding.severity.value,
        "code": finding.code,
        "object": finding.subject,
        "message": finding.message,
        "fix": finding.fix,
    }
