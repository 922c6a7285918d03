"""What the machine is: everything that the checks look at, gathered once."""

from __future__ import annotations

import fcntl
from dataclasses import dataclass, field
from pathlib import Path

from gate import framework, kernel, smilog
from gate.cards import VIRTUAL, Card, read_cards
from gate.question import Question


@dataclass(frozen=True)
class Machine:
    """The machine's side of the comparison.

    Attributes:
        answer: What nvidia-smi said; None where the machine can't have GPUs.
        cards: The GPUs in it.
        module: The loaded kernel module.
        log: The kernel's log; None where it was not looked at.
        host_drivers: What each vGPU is told of the host's driver, by its address.
        numa: The NUMA node of each GPU, by its address.
        framework: What TensorFlow sees; None where nobody asked.
        vgpu_daemon: Where the licence daemon of the vGPU guest driver lies.
        lost_run: Processes of a run that is still measuring.
    """

    answer: smilog.Answer | None = None
    cards: tuple[Card, ...] = ()
    module: kernel.Module | None = None
    log: kernel.KernelLog | None = None
    host_drivers: dict[str, kernel.HostDriver] = field(default_factory=dict)
    numa: dict[str, int | None] = field(default_factory=dict)
    framework: framework.Framework | None = None
    vgpu_daemon: str | None = None
    lost_run: tuple[int, ...] = ()

    @property
    def silent(self) -> bool:
        """Whether nvidia-smi was asked and gave no document."""
        return self.answer is not None and self.answer.log is None


def look(question: Question) -> Machine:
    """Look at the machine. Whatever fails is in the result."""
    if question.simulated and not question.plays:
        return Machine(framework=_framework(question, None))
    answer = smilog.ask(question.deadline)
    cards = () if answer.log is None else read_cards(answer.log)
    root = question.kernel_root
    hosts = {c.address: kernel.host_driver(root, c.address) for c in cards if _virtual(c)}
    return Machine(
        answer=answer,
        cards=cards,
        module=kernel.module(root),
        log=kernel.log() if cards or answer.program else None,
        host_drivers={address: host for address, host in hosts.items() if host is not None},
        numa={card.address: kernel.numa_node(root, card.address) for card in cards},
        framework=_framework(question, answer),
        vgpu_daemon=_vgpu_daemon(root),
        lost_run=_lost_run(question.lost_run),
    )


def _virtual(card: Card) -> bool:
    return card.virtualization == VIRTUAL


def _framework(question: Question, answer: smilog.Answer | None) -> framework.Framework | None:
    """Ask TensorFlow, but not where a driver that does not answer would make it hang, too."""
    hangs = answer is not None and answer.program is not None and answer.code is None
    if not question.framework_python or hangs:
        return None
    return framework.ask(question.framework_python, start=not question.simulated)


def _vgpu_daemon(root: Path) -> str | None:
    for place in (
        "usr/bin/nvidia-gridd",
        "etc/nvidia/gridd.conf",
        "etc/nvidia/gridd.conf.template",
    ):
        if (root / place).exists():
            return f"/{place}"
    return None


def _lost_run(path: str) -> tuple[int, ...]:
    """Return the processes that a run's lock names, while somebody holds it."""
    try:
        with Path(path).open(encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return ()
    except BlockingIOError:
        return tuple(int(word) for word in Path(path).read_text(encoding="ascii").split())
    except OSError:
        return ()
