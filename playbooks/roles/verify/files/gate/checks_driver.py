"""Checks of the driver, its licence, and what TensorFlow makes of it."""

from __future__ import annotations

import re
from datetime import datetime, timezone

from gate.cards import VIRTUAL, Card
from gate.check import FAILED, NOT_APPLICABLE, PASSED, UNKNOWN, WARNED, Check, Finding, combine
from gate.framework import Framework
from gate.machine import Machine
from gate.question import NONE, VGPU, Question

DATA_CENTRE = "data-centre"
GUEST = "vGPU guest"

_EXPIRY = re.compile(r"Expiry: (\d+-\d+-\d+ \d+:\d+:\d+) GMT")
_LICENSED = "licensed"


def kind_of(machine: Machine) -> str | None:
    """Return which driver is installed: only that of vGPU guests knows of licences."""
    if not machine.cards and machine.module is None:
        return None
    told = any(card.licence or card.virtualization == VIRTUAL for card in machine.cards)
    return GUEST if told or machine.vgpu_daemon else DATA_CENTRE


def kind(question: Question, machine: Machine) -> Check:
    """VGPUs need the guest driver; a whole card gets the data-centre driver."""
    name, seen = "driver-kind", kind_of(machine)
    if seen is None or question.mode == NONE:
        return Check(name, NOT_APPLICABLE, "", "")
    evidence = [f"licence of {c.where}: {c.licence}" for c in machine.cards if c.licence]
    evidence += [f"found {machine.vgpu_daemon}"] if machine.vgpu_daemon else []
    virtual = question.mode == VGPU or any(c.virtualization == VIRTUAL for c in machine.cards)
    expected = GUEST if virtual else DATA_CENTRE
    if seen == expected:
        return Check(name, PASSED, expected, seen, tuple(evidence))
    if seen == GUEST:
        fix = "a vGPU guest driver also drives whole cards; `vdl configure` puts the other in place"
        return Check(name, WARNED, expected, seen, tuple(evidence), fix)
    fix = "install the vGPU guest driver of the host's branch: `drivers: vgpu` of the lab file"
    return Check(name, FAILED, expected, seen, tuple(evidence), fix)


def version_of(machine: Machine) -> str | None:
    """Return the driver's version, as nvidia-smi or the kernel tells it."""
    log = machine.answer.log if machine.answer else None
    told = log.findtext("driver_version") if log is not None else None
    return told or (machine.module.version if machine.module else None)


def version(question: Question, machine: Machine) -> Check:
    """The library and the kernel module are of one version; the module's flavour is told."""
    name, seen = "driver-version", version_of(machine)
    if seen is None or question.mode == NONE:
        return Check(name, NOT_APPLICABLE, "", "")
    if machine.module is None:
        return Check(name, UNKNOWN, seen, "the kernel does not tell its module's version")
    flavour = f"{machine.module.flavour} kernel module {machine.module.version}"
    evidence = (f"/proc/driver/nvidia/version: {flavour}", f"nvidia-smi: {seen}")
    if machine.module.version == seen:
        return Check(name, PASSED, seen, flavour, evidence)
    fix = "reboot the machine: the driver was updated and the old module is still loaded"
    return Check(name, FAILED, seen, flavour, evidence, fix)


def branch(question: Question, machine: Machine) -> Check:
    """The driver is of the branch that was asked for, and of that of the host's vGPU manager."""
    name, seen = "driver-branch", version_of(machine)
    if seen is None or question.mode == NONE:
        return Check(name, NOT_APPLICABLE, "", "")
    findings = []
    if question.driver_branch:
        same = _begins(seen, question.driver_branch)
        fix = (
            "" if same else f"install a driver of branch {question.driver_branch}: `vdl configure`"
        )
        findings.append(
            Finding(PASSED if same else FAILED, seen, f"asked for: {question.driver_branch}", fix)
        )
    if question.mode == VGPU or any(c.virtualization == VIRTUAL for c in machine.cards):
        findings += _against_host(question, machine, seen)
    if not findings:
        return Check(name, NOT_APPLICABLE, "", seen)
    hosts = sorted(_host_versions(question, machine))
    asked = [f"branch {question.driver_branch}"] if question.driver_branch else []
    expected = " and ".join([*asked, *(f"branch {_major(h)} as on the host" for h in hosts)])
    return combine(name, expected or "the branch of the host", findings)


def _against_host(question: Question, machine: Machine, seen: str) -> list[Finding]:
    hosts = _host_versions(question, machine)
    if not hosts:
        fix = "give it as the variable verify_host_driver, or let the user run sudo"
        text = f"{seen}; the host's vGPU manager is not known"
        return [Finding(UNKNOWN, text, "no PCI configuration tells of the host's driver", fix)]
    findings = []
    for host, source in sorted(hosts.items()):
        same = _major(host) == _major(seen)
        fix = (
            f"install the guest driver of branch {_major(host)}, or update the host's vGPU manager"
        )
        text = seen if same else f"{seen} under a host with {host}"
        state = PASSED if same else FAILED
        findings.append(
            Finding(state, text, f"vGPU manager {host} ({source})", "" if same else fix)
        )
    return findings


def _host_versions(question: Question, machine: Machine) -> dict[str, str]:
    """Return the versions of the host's vGPU manager, each with who told it."""
    told = {h.version: f"PCI configuration of {a}" for a, h in machine.host_drivers.items()}
    if question.host_driver:
        told.setdefault(question.host_driver, "verify_host_driver")
    return told


def _major(text: str) -> str:
    return text.partition(".")[0]


def _begins(full: str, asked: str) -> bool:
    words = asked.split(".")
    return full.split(".")[: len(words)] == words


def licence(question: Question, machine: Machine) -> Check:
    """Every vGPU has a licence: one without is slowed down, to almost nothing after a while."""
    name = "licence"
    virtual = [card for card in machine.cards if card.virtualization == VIRTUAL]
    if question.mode == VGPU and machine.cards and not virtual:
        virtual = list(machine.cards)
    if not virtual:
        told = "; ".join(f"{c.where}: {c.licence}" for c in machine.cards if c.licence)
        return Check(name, NOT_APPLICABLE, "", told)
    now = datetime.now(timezone.utc)
    return combine(name, "Licensed", [_licence_finding(card, now) for card in virtual])


_LICENCE_FIX = (
    "check the token in /etc/nvidia/ClientConfigToken, FeatureType in /etc/nvidia/gridd.conf and "
    "the way to the licence server; `journalctl -u nvidia-gridd` says what it tried"
)


def _licence_finding(card: Card, now: datetime) -> Finding:
    status = card.licence or "not told"
    evidence = f"{card.where}: License Status {status}"
    evidence += f", {card.licensed_product}" if card.licensed_product else ""
    if not status.lower().startswith(_LICENSED):
        return Finding(FAILED, status, evidence, _LICENCE_FIX)
    match = _EXPIRY.search(status)
    if match and _time(match[1]) <= now:
        fix = f"{_LICENCE_FIX}; and see whether this machine's clock is right"
        return Finding(FAILED, f"expired: {status}", f"{evidence}; it is {now:%Y-%m-%d %H:%M}", fix)
    return Finding(PASSED, status, evidence)


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)


def framework(question: Question, machine: Machine) -> Check:
    """TensorFlow computes on exactly the GPUs that nvidia-smi lists."""
    name, seen = "framework", machine.framework
    if seen is None:
        fix = "" if machine.silent else "run the role payload first"
        return Check(name, UNKNOWN, "", "TensorFlow was not asked", fix=fix)
    listed = (f"{gpu}: {address}" for gpu, address in zip(seen.names, seen.addresses))
    evidence = (seen.python, *listed)
    if seen.problem:
        fix = "run the role payload again: `vdl configure`"
        return Check(name, FAILED, "TensorFlow", seen.problem, (*evidence, *seen.said), fix)
    if question.simulated:
        return Check(name, PASSED, "TensorFlow", "it is installed", evidence)
    wanted = _wanted_gpus(question, machine)
    expected = _gpus(wanted)
    difference = _difference(seen, wanted, machine)
    if difference is None:
        return Check(name, PASSED, expected, expected, evidence)
    fix = "see what CUDA says, and whether CUDA_VISIBLE_DEVICES hides GPUs"
    return Check(name, FAILED, expected, difference, (*evidence, *seen.said), fix)


def _gpus(count: int) -> str:
    return "1 GPU" if count == 1 else f"{count} GPUs"


def _wanted_gpus(question: Question, machine: Machine) -> int:
    """Return what nvidia-smi lists; what is planned, where it is silent."""
    if question.mode == NONE:
        return 0
    return max(question.expected_gpus, 0) if machine.silent else len(machine.cards)


def _difference(seen: Framework, wanted: int, machine: Machine) -> str | None:
    """Return how TensorFlow's GPUs differ from the machine's; None where they are the same."""
    if len(seen.names) != wanted:
        return _gpus(len(seen.names))
    unstarted = [gpu for gpu, address in zip(seen.names, seen.addresses) if address is None]
    if unstarted:
        return f"{', '.join(unstarted)} can't be started"
    others = {a for a in seen.addresses if a} - {card.address for card in machine.cards}
    others = set() if machine.silent else others
    return f"other GPUs: {', '.join(sorted(others))}" if others else None


CHECKS = (kind, version, branch, licence, framework)
