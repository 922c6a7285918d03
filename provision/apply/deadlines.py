"""How long each step may take, in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from provision.apply.pipeline import Step


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that each step may take before its outcome counts as unknown or failed.

    Attributes:
        clone: A full clone copies every disk of the template: minutes on slow storage.
        prepare_hardware: A change of one number in the VM's configuration.
        attach: Adds devices; growing a thick disk on slow storage takes its time.
        reconfigure: As `attach`.
        relocate: Registers a VM that is off on another host; its disks stay where they are.
        power_on: The host reserves all memory first; DRS may think about where.
        guest: Large MMIO windows and much memory make the firmware slow; then cloud-init runs.
        shut_down: What a guest gets before it is powered off.
        destroy: Deletes the disks.
        clean_up: Deletes what a failed create left behind.
        follow: How long to watch another run that makes the same machine.
    """

    clone: float = 1800.0
    prepare_hardware: float = 120.0
    attach: float = 300.0
    reconfigure: float = 300.0
    relocate: float = 300.0
    power_on: float = 300.0
    guest: float = 900.0
    shut_down: float = 180.0
    destroy: float = 300.0
    clean_up: float = 300.0
    follow: float = 1800.0

    def of(self, step: Step) -> float:
        """Return the seconds that a step may take."""
        seconds: float = getattr(self, step.name.lower())
        return seconds
