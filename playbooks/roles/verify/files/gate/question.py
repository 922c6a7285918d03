"""What the machine should be: the plan's side of the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gate.smilog import DEADLINE

ANY = -1
BARE_METAL = "bare-metal"
GROUP = "group"
NONE = "none"
PASSTHROUGH = "passthrough"
VGPU = "vgpu"


@dataclass(frozen=True)
class Question:
    """What the role asks. What is empty or 0 is not known, and not compared.

    Attributes:
        machine: Its name.
        mode: How it has its GPUs: none, vgpu, passthrough, group or bare-metal.
        expected_gpus: How many; -1 for any number.
        profile: The vGPU profile, such as grid_a100d-10c.
        model: The card's name, as the host tells it.
        framebuffer_mib: Memory of one GPU.
        driver_branch: The driver's branch or version, such as 570.
        host_driver: Version of the vGPU manager on the host.
        simulated: The machine belongs to a simulated vCenter, so its GPUs can't be there.
        played: Folder in which a simulated machine plays GPUs, if it is there.
        root: Where the kernel's files lie; a test has its own.
        framework_python: The Python that has TensorFlow; empty not to look.
        lost_run: Lock that a run holds, with the numbers of its processes.
        moment: before or after the measurement.
        deadline: Seconds that nvidia-smi may take.
    """

    machine: str = ""
    mode: str = BARE_METAL
    expected_gpus: int = ANY
    profile: str = ""
    model: str = ""
    framebuffer_mib: int = 0
    driver_branch: str = ""
    host_driver: str = ""
    simulated: bool = False
    played: str = ""
    root: str = "/"
    framework_python: str = ""
    lost_run: str = ""
    moment: str = "before"
    deadline: float = DEADLINE

    @property
    def plays(self) -> bool:
        """Whether a simulated machine plays GPUs, with programs that answer as real ones do."""
        return self.simulated and bool(self.played) and self._stage.is_dir()

    @property
    def _stage(self) -> Path:
        return Path(self.played).expanduser()

    @property
    def kernel_root(self) -> Path:
        """Where /proc and /sys are; the stage may have its own."""
        played = self._stage / "root"
        return played if self.plays and played.is_dir() else Path(self.root)

    @property
    def wants_gpus(self) -> bool:
        """Whether the machine must have a GPU."""
        return self.mode != NONE and self.expected_gpus > 0

    @property
    def may_have_gpus(self) -> bool:
        """Whether the machine may have a GPU at all."""
        return self.mode != NONE and self.expected_gpus != 0


def read(question: Mapping[str, Any]) -> Question:
    """Return the question of a JSON document; keys that this version does not know are left out."""
    names = {field.name for field in fields(Question)}
    return Question(**{key: value for key, value in question.items() if key in names})
