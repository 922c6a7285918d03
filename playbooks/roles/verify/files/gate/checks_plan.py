"""Checks of what the machine has against what the plan gave it."""

from __future__ import annotations

import re

from gate.cards import VIRTUAL, Card
from gate.check import FAILED, NOT_APPLICABLE, PASSED, UNKNOWN, WARNED, Check, Finding, combine
from gate.machine import Machine
from gate.question import ANY, BARE_METAL, GROUP, NONE, PASSTHROUGH, VGPU, Question
from gate.smilog import Answer

LEAST, MOST = 0.88, 1.02
"""How much of the planned memory a GPU must show: GDDR cards with ECC lack a sixteenth, MIG
instances up to a twentieth; the next smaller vGPU profile of any card is a sixth smaller."""

INFOROM = 14
_NOT_FOUND = 6

_MODEL = re.compile(r"[A-Z]+\d+[A-Z]*|\d{4,5}")  # A100, T4, L40S; the 6000 of RTX 6000
_NO_MODEL = re.compile(r"(?:HBM|SXM|GDDR|GEN)\d+[A-Z]*")
_PROFILE = re.compile(r"(?:grid|nvidia)?[ _]?([a-z0-9]+(?:-\d+){1,2}[a-z]+)$")


def answers(question: Question, machine: Machine) -> Check:
    """nvidia-smi answers, in time and wholly."""
    name, answer = "nvidia-smi", machine.answer
    if answer is None:
        return Check(name, NOT_APPLICABLE, "", "the machine is simulated and plays no GPUs")
    if not question.wants_gpus and (answer.program is None or answer.code == _NOT_FOUND):
        return Check(name, NOT_APPLICABLE, "", answer.problem or "no device was found")
    evidence = (*answer.said, *_driver_lines(machine))
    if answer.problem is None:
        return _lost(name, machine)
    if answer.log is not None and answer.code == INFOROM:
        fix = "`nvidia-smi -q` names the GPU; NVIDIA's support can tell whether it must be replaced"
        return Check(name, WARNED, "an answer", answer.problem, evidence, fix)
    if not question.may_have_gpus:
        return Check(name, NOT_APPLICABLE, "", answer.problem, evidence)
    return Check(name, FAILED, "an answer", answer.problem, evidence, _fix(answer))


def _lost(name: str, machine: Machine) -> Check:
    findings = [
        Finding(FAILED, "GPU is lost", f"{c.where}: {', '.join(c.lost[:4])}: GPU is lost", _REBOOT)
        for c in machine.cards
        if c.lost
    ]
    return combine(name, "an answer", findings or [Finding(PASSED, "it answers")])


_INSTALL = "run the role nvidia_driver, `vdl configure`"
_REBOOT = "power the machine off and on; if it comes back, look at the card and its host's log"
_LOAD = "load the driver: `modprobe nvidia`, then `dmesg | grep NVRM` says why it can't be"
_UPDATED = "reboot the machine: an update of the driver waits for it"
_LOOK = "run `nvidia-smi -q -x` in the machine and look at what it says"
_FIXES = {6: _LOAD, 9: _LOAD, 10: _LOAD, 12: _UPDATED, 13: _UPDATED, 15: _REBOOT, 18: _UPDATED}
"""By nvidia-smi's exit code."""


def _fix(answer: Answer) -> str:
    if answer.program is None:
        return _INSTALL
    return _REBOOT if answer.code is None else _FIXES.get(answer.code, _LOOK)


def _driver_lines(machine: Machine) -> tuple[str, ...]:
    """Return the last words of the driver in the kernel's log."""
    lines = (machine.log.lines or ()) if machine.log else ()
    return tuple(line for line in lines if "NVRM:" in line or "nvidia" in line.lower())[-4:]


def count(question: Question, machine: Machine) -> Check:
    """As many GPUs as the plan says."""
    name, wanted = "gpu-count", question.expected_gpus
    if machine.answer is None:
        return Check(name, NOT_APPLICABLE, "", "")
    wanted = 0 if question.mode == NONE else wanted
    expected = "any number" if wanted == ANY else str(wanted)
    if machine.silent and wanted > 0:
        return Check(name, UNKNOWN, expected, "nvidia-smi does not tell")
    seen = len(machine.cards)
    evidence = tuple(f"{c.where}: {c.name}, {c.uuid}" for c in machine.cards)
    if wanted in (ANY, seen):
        return Check(name, PASSED, expected, str(seen), evidence)
    fix = "compare the VM's PCI devices in vCenter with `lspci -d 10de:` in the machine"
    return Check(name, FAILED, expected, str(seen), evidence, fix)


def model(question: Question, machine: Machine) -> Check:
    """The card or profile that the plan says."""
    name = "gpu-model"
    profile = _profile(question.profile)
    if profile:
        findings = [_profile_finding(profile, card) for card in machine.cards]
    elif question.model:
        # A vGPU has the name of its profile, which need not be like that of its card.
        whole = [card for card in machine.cards if card.virtualization != VIRTUAL]
        findings = [_model_finding(question.model, card) for card in whole]
    else:
        findings = []
    expected = profile or question.model
    return combine(name, expected, findings or [Finding(NOT_APPLICABLE, "")])


def _profile_finding(profile: str, card: Card) -> Finding:
    seen, evidence = _profile(card.name or ""), f"{card.where}: {card.name}"
    if not seen:
        return Finding(UNKNOWN, card.name or "no name", evidence)
    if seen == profile:
        return Finding(PASSED, card.name or "", evidence)
    fix = "the VM has another vGPU profile than planned: `vdl plan`, then `vdl provision`"
    return Finding(FAILED, card.name or "", evidence, fix)


def _profile(text: str) -> str:
    """Return a profile without its maker: a100d-10c for grid_a100d-10c and NVIDIA A100D-10C."""
    match = _PROFILE.search(text.strip().lower())
    return match[1] if match else ""


def _model_finding(model_name: str, card: Card) -> Finding:
    wanted, seen = _models(model_name), _models(card.name or "")
    evidence = f"{card.where}: {card.name}"
    if not wanted or not seen:
        return Finding(UNKNOWN, card.name or "no name", evidence)
    if wanted & seen:
        return Finding(PASSED, card.name or "", evidence)
    fix = "the VM holds another card than planned: `vdl plan`, then `vdl provision`"
    return Finding(FAILED, card.name or "", evidence, fix)


def _models(text: str) -> frozenset[str]:
    """Return the words that name a model: A100 and GA100 of `GA100 [A100 PCIe 80GB]`."""
    words = re.findall(r"[A-Z0-9]+", text.upper())
    return frozenset(w for w in words if _MODEL.fullmatch(w) and not _NO_MODEL.fullmatch(w))


def memory(question: Question, machine: Machine) -> Check:
    """As much memory as the plan says."""
    name, wanted = "gpu-memory", question.framebuffer_mib
    if not wanted or not machine.cards:
        return Check(name, NOT_APPLICABLE, f"{wanted} MiB" if wanted else "", "")
    fix = "the GPU is not the planned one: compare profile or card in vCenter with the plan"
    findings = []
    for card in machine.cards:
        seen = card.memory_mib
        if seen is None:
            findings.append(Finding(UNKNOWN, "not told", f"{card.where}: no memory is told"))
            continue
        state = PASSED if LEAST * wanted <= seen <= MOST * wanted else FAILED
        text = f"{seen:.0f} MiB"
        findings.append(
            Finding(state, text, f"{card.where}: {text}", "" if state == PASSED else fix)
        )
    return combine(name, f"{wanted} MiB, {LEAST:.0%} at least", findings)


_MODES = {
    VGPU: ((VIRTUAL,), ()),
    PASSTHROUGH: (("Pass-Through",), ("None",)),
    GROUP: ((VIRTUAL, "Pass-Through"), ("None",)),
    BARE_METAL: (("None", "Host VGPU", "Host VSGA"), ()),
}
"""Virtualization modes of nvidia-smi that fit a machine's mode, and those that are only odd: a
VM that hides its hypervisor from the guest has a card that takes itself for bare metal."""


def mode(question: Question, machine: Machine) -> Check:
    """The GPU is virtual, passed through or bare, as the plan says."""
    name = "gpu-mode"
    if question.mode not in _MODES or not machine.cards:
        return Check(name, NOT_APPLICABLE, "", "")
    right, odd = _MODES[question.mode]
    findings = [_mode_finding(card, right, odd, question.mode) for card in machine.cards]
    return combine(name, f"{question.mode}: {' or '.join(right)}", findings)


def _mode_finding(
    card: Card, right: tuple[str, ...], odd: tuple[str, ...], planned: str
) -> Finding:
    seen = card.virtualization
    text = f"virtualization mode {seen or 'not told'}"
    evidence = f"{card.where}: {text}"
    if seen is None:
        return Finding(UNKNOWN, text, evidence)
    if seen in right:
        return Finding(PASSED, text, evidence)
    if seen in odd:
        fix = "`hypervisor.cpuid.v0` of the VM hides the hypervisor; take it away"
        return Finding(WARNED, text, evidence, fix)
    fix = f"the inventory says {planned}; correct it, or give the machine what it says"
    return Finding(FAILED, text, evidence, fix)


CHECKS = (answers, count, model, memory, mode)
