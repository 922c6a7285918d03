"""The verdict: what was asked, what was seen, and whether a number may be believed.

Version 1 of kind `vdl-gate`; gate.schema.json describes it. Keys are added, never taken away.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from gate import checks_driver, checks_health, checks_plan
from gate.check import FAILED, UNKNOWN, WARNED, Check
from gate.machine import Machine, look
from gate.question import Question

VERSION = 1
KIND = "vdl-gate"


def judge(question: Question) -> dict[str, Any]:
    """Look at the machine and answer the question."""
    began = time.monotonic()
    machine = look(question)
    checks = [check(question, machine) for check in (*checks_plan.CHECKS, *checks_driver.CHECKS)]
    checks += [check(machine) for check in checks_health.CHECKS]
    if question.moment != "before":
        checks = [check for check in checks if check.id != "framework"]
    failed = [check for check in checks if check.state == FAILED]
    doubtful = [check for check in checks if check.state in (WARNED, UNKNOWN)]
    seen = machine.framework
    return {
        "version": VERSION,
        "kind": KIND,
        "passed": not failed,
        "reasons": [reason(check) for check in failed],
        "warnings": [reason(check) for check in doubtful],
        "machine": question.machine,
        "mode": question.mode,
        "moment": question.moment,
        "taken": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began, 3),
        "expected_gpus": question.expected_gpus,
        "simulated": question.simulated,
        "gpus": list(seen.names) if seen else [],
        "driver": checks_driver.version_of(machine),
        "driver_kind": checks_driver.kind_of(machine),
        "kernel_module": asdict(machine.module) if machine.module else None,
        "host_driver": _host_driver(machine),
        "cards": [_card(card) for card in machine.cards],
        "packages": dict(seen.packages) if seen else {},
        "checks": [asdict(check) for check in checks],
    }


def reason(check: Check) -> str:
    """Return a check in one line, such as `licence: Unlicensed (expected: Licensed)`."""
    expected = f" (expected: {check.expected})" if check.expected else ""
    return f"{check.id}: {check.seen}{expected}"


def _host_driver(machine: Machine) -> str | None:
    versions = sorted({host.version for host in machine.host_drivers.values()})
    return ", ".join(versions) or None


def _card(card: Any) -> dict[str, Any]:
    return {
        "index": card.index,
        "address": card.address,
        "uuid": card.uuid,
        "name": card.name,
        "memory_mib": card.memory_mib,
        "virtualization": card.virtualization,
        "licence": card.licence,
        "ecc": card.ecc,
        "mig": card.mig,
        "power_limit_w": card.power_limit,
    }
