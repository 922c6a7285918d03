"""Checks of what may make a right GPU give a wrong number."""

from __future__ import annotations

import re
from collections.abc import Callable

from gate.cards import VIRTUAL, Card, Process
from gate.check import FAILED, NOT_APPLICABLE, PASSED, UNKNOWN, WARNED, Check, Finding, combine
from gate.machine import Machine

PerCard = Callable[[Card], "Finding | None"]


def _each(name: str, expected: str, machine: Machine, look: PerCard) -> Check:
    """Look at every card; a card of which the value is not told has no finding."""
    found = [finding for finding in map(look, machine.cards) if finding is not None]
    if not found:
        return Check(name, NOT_APPLICABLE, expected, "not told" if machine.cards else "")
    return combine(name, expected, found)


def ecc(machine: Machine) -> Check:
    """Memory is corrected, and there was nothing that could not be corrected."""

    def look(card: Card) -> Finding | None:
        if card.ecc is None:
            return None
        text = f"{card.ecc}, uncorrected {card.uncorrected or 0}, corrected {card.corrected or 0}"
        evidence = (
            f"{card.where}: ECC {text} since boot, uncorrected ever {card.uncorrected_ever or 0}"
        )
        if card.uncorrected or card.threshold_exceeded == "Yes":
            fix = "reset the GPU or reboot; if it comes back, the card must be replaced"
            return Finding(FAILED, text, evidence, fix)
        if card.ecc_pending not in (None, card.ecc):
            fix = "reboot, so that the mode that was set takes effect"
            return Finding(WARNED, f"{card.ecc}, {card.ecc_pending} after a reboot", evidence, fix)
        if card.ecc == "Disabled":
            fix = "`nvidia-smi -e 1` and a reboot switch it on; compare only with machines alike"
            return Finding(WARNED, "Disabled", evidence, fix)
        if card.corrected or card.uncorrected_ever:
            return Finding(WARNED, text, evidence, "watch the card: errors grow before it fails")
        return Finding(PASSED, "Enabled, no errors", evidence)

    return _each("ecc", "Enabled, no errors", machine, look)


def repairs(machine: Machine) -> Check:
    """No memory waits for a repair, and none is beyond repair."""

    def look(card: Card) -> Finding | None:
        known = {path.partition("/")[2]: text for path, text in card.repairs}
        if not known:
            return None
        evidence = f"{card.where}: " + ", ".join(f"{k} {v}" for k, v in known.items())
        yes = [name for name, text in known.items() if text == "Yes"]
        if yes:
            fix = "reset the GPU or reboot for what is pending; a failure needs another card"
            return Finding(FAILED, ", ".join(yes), evidence, fix)
        counted = [f"{k} {v}" for k, v in known.items() if v.isdigit() and v != "0"]
        if counted:
            fix = "nothing to do: the repair is in force; watch whether it grows"
            return Finding(WARNED, ", ".join(counted), evidence, fix)
        return Finding(PASSED, "nothing pending", evidence)

    return _each("memory-repair", "nothing pending", machine, look)


def recovery(machine: Machine) -> Check:
    """The driver asks for no reset."""

    def look(card: Card) -> Finding | None:
        if card.recovery is None:
            return None
        state = PASSED if card.recovery == "None" else FAILED
        fix = "" if state == PASSED else f"do what the driver asks for: {card.recovery}"
        return Finding(state, card.recovery, f"{card.where}: {card.recovery}", fix)

    return _each("recovery", "None", machine, look)


_MIG_PROFILE = re.compile(r"-\d+-\d+[a-z]", re.IGNORECASE)


def mig(machine: Machine) -> Check:
    """A whole card is whole; a vGPU on MIG has its instance."""

    def look(card: Card) -> Finding | None:
        if card.mig is None:
            return None
        sizes = ", ".join(f"{size or 0:.0f} MiB" for size in card.mig_devices) or "no device"
        text = "Disabled" if card.mig != "Enabled" else f"Enabled: {sizes}"
        evidence = f"{card.where}: MIG {text}"
        if card.mig_pending not in (None, card.mig):
            fix = "reset the GPU or reboot, so that the mode that was set takes effect"
            return Finding(FAILED, f"{text}, {card.mig_pending} is pending", evidence, fix)
        virtual = card.virtualization == VIRTUAL
        sliced = virtual and bool(_MIG_PROFILE.search(card.name or ""))
        if card.mig == "Enabled" and not virtual:
            fix = (
                "`nvidia-smi -mig 0` and a reset: a framework uses one slice of a card in MIG mode"
            )
            return Finding(FAILED, text, evidence, fix)
        if card.mig == "Enabled" and len(card.mig_devices) != 1:
            fix = "`nvidia-smi mig -cci` makes a compute instance in the vGPU; one must be there"
            return Finding(FAILED, text, evidence, fix)
        if sliced and card.mig != "Enabled":
            fix = "set the card to MIG mode on the host, or plan a profile that is time-sliced"
            return Finding(FAILED, text, evidence, fix)
        return Finding(PASSED, text, evidence)

    return _each("mig", "one GPU, not slices of it", machine, look)


XID = re.compile(r"NVRM: Xid \((?:PCI:)?([0-9A-Fa-f:.]+)[^)]*\): (\d+)")
OF_PROGRAMS = frozenset({13, 31, 43, 45})
"""Xids that a faulty or killed program leaves behind on a sound GPU (NVIDIA's Xid catalogue)."""
_MOST_LINES = 8


def xid(machine: Machine) -> Check:
    """The driver has logged no error of a GPU since the machine was booted."""
    name, expected = "xid", "none since boot"
    if machine.log is None:
        return Check(name, NOT_APPLICABLE, "", "")
    if machine.log.lines is None:
        fix = "let the user read it: group adm or systemd-journal, or sudo without a password"
        return Check(
            name, UNKNOWN, expected, "the kernel's log can't be read", machine.log.refusals, fix
        )
    matches = [(line, XID.search(line)) for line in machine.log.lines]
    found = [(line.strip(), int(match[2])) for line, match in matches if match]
    if not found:
        return Check(name, PASSED, expected, "none", (f"read with {machine.log.source}",))
    numbers = sorted({number for _, number in found})
    serious = [line for line, number in found if number not in OF_PROGRAMS]
    lines = tuple((serious or [line for line, _ in found])[-_MOST_LINES:])
    seen = "Xid " + ", ".join(map(str, numbers))
    if serious:
        fix = "look the number up in NVIDIA's Xid catalogue; a reboot clears the log"
        return Check(name, FAILED, expected, seen, lines, fix)
    fix = "a program failed on the GPU, which is sound; a reboot clears the log"
    return Check(name, WARNED, expected, seen, lines, fix)


SLOWDOWNS = frozenset(
    {"hw_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown", "sw_thermal_slowdown"}
)
"""The card runs slower than it should, for heat or for lack of power."""
_HARMLESS = frozenset({"gpu_idle", "display_clocks_setting"})


def clocks(machine: Machine) -> Check:
    """Nothing holds the clocks down."""

    def look(card: Card) -> Finding | None:
        if card.reasons is None:
            return None
        active = [reason for reason in card.reasons if reason not in _HARMLESS]
        evidence = f"{card.where}: active: {', '.join(card.reasons) or 'none'}"
        slow = [reason for reason in active if reason in SLOWDOWNS]
        if slow:
            fix = "look at cooling and power of the host; the number would be that of a hot card"
            return Finding(FAILED, ", ".join(slow), evidence, fix)
        if active:
            fix = "`nvidia-smi -q -d CLOCK,POWER` shows the setting that holds the clocks down"
            return Finding(WARNED, ", ".join(active), evidence, fix)
        return Finding(PASSED, "none", evidence)

    return _each("clocks", "nothing slows the GPU down", machine, look)


def power(machine: Machine) -> Check:
    """The power limit is the card's own."""

    def look(card: Card) -> Finding | None:
        limit, default = card.power_limit, card.power_default
        if limit is None or default is None:
            return None
        text = f"{limit:.0f} W"
        evidence = f"{card.where}: limit {limit:.0f} W, default {default:.0f} W"
        if limit >= default:
            return Finding(PASSED, text, evidence)
        fix = f"`nvidia-smi -pl {default:.0f}`, or compare only with machines of the same limit"
        return Finding(WARNED, f"{text} of {default:.0f} W", evidence, fix)

    return _each("power-limit", "the card's default", machine, look)


def pcie(machine: Machine) -> Check:
    """The link is as wide and as fast as the card and its slot can."""

    def look(card: Card) -> Finding | None:
        (gen, most_gen), (width, most_width) = card.link, card.width
        if gen is None or width is None:
            return None
        text = f"generation {gen:.0f} x{width:.0f}"
        full = f"generation {most_gen or 0:.0f} x{most_width or 0:.0f}"
        evidence = f"{card.where}: {text} of {full} in {card.performance or 'unknown'} state"
        narrow = most_width is not None and width < most_width
        # An idle card takes its link to a lower generation, and back when there is work.
        slow = card.performance == "P0" and most_gen is not None and gen < most_gen
        if narrow or slow:
            fix = "seat the card again or use another slot: data from the host comes slower"
            return Finding(WARNED, f"{text} of {full}", evidence, fix)
        return Finding(PASSED, text, evidence)

    return _each("pcie", "full width and speed", machine, look)


def numa(machine: Machine) -> Check:
    """Where the cards are; cards on several nodes are told."""
    name, nodes = "numa", {card.where: machine.numa.get(card.address) for card in machine.cards}
    told = {where: node for where, node in nodes.items() if node is not None and node >= 0}
    if not told:
        return Check(name, NOT_APPLICABLE, "", "the platform does not tell" if nodes else "")
    evidence = tuple(f"{where}: node {node}" for where, node in told.items())
    seen = "node " + ", ".join(map(str, sorted(set(told.values()))))
    return Check(name, PASSED, "", seen, evidence)


def persistence(machine: Machine) -> Check:
    """The driver stays loaded between programs."""

    def look(card: Card) -> Finding | None:
        if card.persistence is None:
            return None
        if card.persistence == "Enabled":
            return Finding(PASSED, "Enabled")
        fix = "start nvidia-persistenced: without it, the driver loads anew for each program"
        return Finding(WARNED, card.persistence, f"{card.where}: {card.persistence}", fix)

    return _each("persistence", "Enabled", machine, look)


def compute_mode(machine: Machine) -> Check:
    """Programs may compute on the GPU."""

    def look(card: Card) -> Finding | None:
        if card.compute_mode is None:
            return None
        state = {"Default": PASSED, "Prohibited": FAILED}.get(card.compute_mode, WARNED)
        fix = "" if state == PASSED else "`nvidia-smi -c DEFAULT`"
        return Finding(state, card.compute_mode, f"{card.where}: {card.compute_mode}", fix)

    return _each("compute-mode", "Default", machine, look)


def processes(machine: Machine) -> Check:
    """Nobody else computes on the GPU."""

    def look(card: Card) -> Finding | None:
        others = [p for p in card.processes if p.pid not in machine.lost_run]
        lines = "; ".join(f"{p.pid} {p.name} ({p.kind})" for p in others)
        if any(_computes(process) for process in others):
            fix = "end these processes, or wait for them: they share the GPU with the measurement"
            return Finding(FAILED, lines, f"{card.where}: {lines}", fix)
        if others:
            fix = "stop the display server: it takes some memory and time of the GPU"
            return Finding(WARNED, lines, f"{card.where}: {lines}", fix)
        return Finding(PASSED, "none")

    return _each("processes", "none", machine, look)


def _computes(process: Process) -> bool:
    return "C" in process.kind


CHECKS = (
    ecc, repairs, recovery, mig, xid, clocks, power, pcie, numa, persistence, compute_mode,
    processes,
)  # fmt: skip
